"""The trace of a round, from the span files of its run's folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeroloop.cli.durations import short
from zeroloop.errors import NotFoundError

ROUND_SPAN = "zeroloop.round"
ROUND_ATTRIBUTE = "zeroloop.round.index"
_OWN = "zeroloop."

_NOUNS = {
    "zeroloop.batch.size": "item",
    "zeroloop.train.world_size": "rank",
    "zeroloop.weights.version": "weights v",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One finished piece of work of one process."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    status: str = "UNSET"
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def duration_s(self) -> float:
        """Wall time."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Node:
    """A span with what it caused, or several equal spans with the same parent."""

    spans: tuple[Span, ...]
    children: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The spans' name."""
        return self.spans[0].name

    @property
    def start_ns(self) -> int:
        """When the first one began."""
        return min(span.start_ns for span in self.spans)

    @property
    def end_ns(self) -> int:
        """When the last one ended."""
        return max(span.end_ns for span in self.spans)


def read_spans(folder: Path) -> list[Span]:
    """Read every span file of a telemetry folder.

    A line that is cut off, because its process was killed, is left out, and so is a span that
    stands there twice, because two exporters wrote it.
    """
    spans: dict[tuple[str, str], Span] = {}
    for path in sorted(folder.glob("spans*.jsonl")):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                span = _span(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            spans[span.trace_id, span.span_id] = span
    return list(spans.values())


def round_tree(spans: Sequence[Span], round_index: int) -> Node:
    """Return the trace of one round; of a round that was resumed, its last root.

    Spans whose parent was never written, because its process was killed, hang on the root.

    Raises:
        NotFoundError: The round has no finished root span.
    """
    roots = [
        span
        for span in spans
        if span.name == ROUND_SPAN and span.attributes.get(ROUND_ATTRIBUTE) == round_index
    ]
    if not roots:
        known = sorted({i for s in spans if (i := s.attributes.get(ROUND_ATTRIBUTE)) is not None})
        there = f"rounds {known[0]} to {known[-1]} have one" if known else "no round has one yet"
        raise NotFoundError(f"round {round_index} has no finished trace; {there}")
    root = max(roots, key=lambda span: span.end_ns)
    return tree(root, [span for span in spans if span.trace_id == root.trace_id])


def tree(root: Span, spans: Iterable[Span]) -> Node:
    """Hang `spans` of one trace below `root`; siblings of one name become one node."""
    others = [span for span in spans if span.span_id != root.span_id]
    known = {span.span_id for span in others} | {root.span_id}
    children: dict[str, list[Span]] = {}
    for span in others:
        parent = span.parent_id if span.parent_id in known else root.span_id
        children.setdefault(parent, []).append(span)
    return _node((root,), children)


def _node(spans: tuple[Span, ...], children: Mapping[str, Sequence[Span]]) -> Node:
    groups: dict[tuple[str, str], list[Span]] = {}
    for parent in spans:
        for child in children.get(parent.span_id, ()):
            groups.setdefault((child.name, child.service), []).append(child)
    nodes = [_node(tuple(group), children) for group in groups.values()]
    return Node(spans, tuple(sorted(nodes, key=lambda node: node.start_ns)))


def render(root: Node, *, depth: int = 1) -> list[str]:
    """Write the tree, a line per node, with aligned columns.

    Args:
        depth: Levels below the root; 0 is the root alone.
    """
    rows = [(f"{root.name} {root.spans[0].attributes.get(ROUND_ATTRIBUTE, '')}", root, "")]
    rows += _rows(root, "", depth)
    name_width = max(len(name) for name, _, _ in rows) + 2
    details = [_detail(node) for _, node, _ in rows]
    detail_width = max(len(detail) for detail in details) + 2
    return [
        f"{name:<{name_width}}{detail:<{detail_width}}{_duration(node):>9}{note}".rstrip()
        for (name, node, note), detail in zip(rows, details, strict=True)
    ]


def to_json(node: Node) -> dict[str, Any]:
    """The tree as plain values; seconds are relative to nothing but themselves."""
    return {
        "name": node.name,
        "service": node.spans[0].service,
        "count": len(node.spans),
        "start_ns": node.start_ns,
        "end_ns": node.end_ns,
        "wall_s": (node.end_ns - node.start_ns) / 1e9,
        "busy_s": sum(span.duration_s for span in node.spans),
        "attributes": dict(node.spans[0].attributes) if len(node.spans) == 1 else {},
        "children": [to_json(child) for child in node.children],
    }


def _rows(parent: Node, indent: str, depth: int) -> list[tuple[str, Node, str]]:
    if depth < 1:
        return []
    rows: list[tuple[str, Node, str]] = []
    latest: Node | None = None
    for child in parent.children:
        last = child is parent.children[-1]
        note = ""
        # Of calls this would be no news: they are made side by side on purpose.
        if latest is not None and child.name.startswith(_OWN) and child.start_ns < latest.end_ns:
            note = f"   (overlaps {_short_name(latest)})"
        branch = "\u2514\u2500 " if last else "\u251c\u2500 "
        rows.append((indent + branch + _shown_name(child), child, note))
        rows += _rows(child, indent + ("   " if last else "\u2502  "), depth - 1)
        if latest is None or child.end_ns > latest.end_ns:
            latest = child
    return rows


def _detail(node: Node) -> str:
    first = node.spans[0]
    words = [first.service.removeprefix("zeroloop-")] if node.name != ROUND_SPAN else []
    if len(node.spans) > 1:
        words.append(f"\u00d7{len(node.spans)}")
    for attribute, noun in _NOUNS.items():
        values = [s.attributes[attribute] for s in node.spans if attribute in s.attributes]
        if not values:
            continue
        if noun.endswith(" v"):
            words.append(f"{noun}{max(values)}")
        else:
            total = sum(values)
            words.append(f"{total} {noun}{'' if total == 1 else 's'}")
    if failed := sum(span.status == "ERROR" for span in node.spans):
        words.append("FAILED" if len(node.spans) == 1 else f"{failed} FAILED")
    return "  ".join(words)


def _duration(node: Node) -> str:
    return short((node.end_ns - node.start_ns) / 1e9)


def _shown_name(node: Node) -> str:
    """A call without its package: `RewardService/JudgeSolutions`."""
    package, _, method = node.name.rpartition("/")
    return f"{package.rpartition('.')[2]}/{method}" if package else node.name


def _short_name(node: Node) -> str:
    return node.name.removeprefix(_OWN)


def _span(line: Mapping[str, Any]) -> Span:
    return Span(
        name=str(line["name"]),
        service=str(line.get("service", "")),
        trace_id=str(line["trace_id"]),
        span_id=str(line["span_id"]),
        parent_id=str(line.get("parent_id") or ""),
        start_ns=int(line["start_ns"]),
        end_ns=int(line["end_ns"]),
        status=str(line.get("status", "UNSET")),
        attributes=line.get("attributes") or {},
    )
