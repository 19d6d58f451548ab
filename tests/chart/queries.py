"""What queries of dashboards and alerts ask for, and what the platform can answer."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import promql_parser as promql

from services._server.instruments import METRICS

OF_THE_TARGET = {"namespace", "pod", "job", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""

_ENDS = ("_total", "_bucket", "_sum", "_count")

OF_THE_PROCESS = {
    *("process_resident_memory_bytes", "process_cpu_seconds_total"),
    "process_start_time_seconds",
}
"""What prometheus_client says of each process, as far as it is asked for."""


@dataclass(frozen=True, slots=True)
class Query:
    """What one expression asks for."""

    metrics: frozenset[str]
    labels: frozenset[str]
    """Those that it selects or groups by."""

    unscoped: frozenset[str]
    """Metrics that it asks for in all namespaces."""

    values: frozenset[tuple[str, str]]
    """Labels and the values that they must have exactly."""


def read(expression: str) -> Query:
    """Read an expression of Prometheus, with Grafana's variables in it.

    Raises:
        ValueError: It is none.
    """
    text = re.sub(r"\$__(rate_interval|range)", "5m", expression)
    selectors: list[promql.VectorSelector] = []
    labels: set[str] = set()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            selectors.append(node)
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql.AggregateExpr) and modifier is not None:
            labels.update(modifier.labels)

    promql.walk(promql.parse(text), visit)
    matchers = [matcher for selector in selectors for matcher in selector.matchers.matchers]
    return Query(
        metrics=frozenset(selector.name for selector in selectors),
        labels=frozenset(labels | {matcher.name for matcher in matchers}),
        unscoped=frozenset(
            selector.name
            for selector in selectors
            if "namespace" not in {matcher.name for matcher in selector.matchers.matchers}
        ),
        values=frozenset((m.name, m.value) for m in matchers if m.op == promql.MatchOp.Equal),
    )


def answered() -> set[str]:
    """Names of all series that the platform has."""
    return {series for metric in METRICS for series in metric.series} | OF_THE_PROCESS


def labels_of(series: str) -> set[str]:
    """Labels that a series of the platform may have."""
    own = {
        label.replace(".", "_")
        for metric in METRICS
        if series in metric.series
        for label in metric.labels
    }
    return own | OF_THE_TARGET


def is_of_vllm(series: str) -> bool:
    """Whether vLLM has such a series, by the names in its source."""
    name = series
    for end in _ENDS:
        name = name.removesuffix(end)
    return name in _vllm()


def _vllm() -> set[str]:
    found = importlib.util.find_spec("vllm")
    assert found is not None
    assert found.origin is not None
    loggers = Path(found.origin).parent / "v1" / "metrics" / "loggers.py"
    return set(re.findall(r'name="(vllm:\w+)"', loggers.read_text()))


def panels(dashboard: dict[str, object]) -> Iterator[dict[str, object]]:
    """A dashboard's panels but for its headings."""
    listed = dashboard["panels"]
    assert isinstance(listed, list)
    yield from (panel for panel in listed if panel["type"] != "row")
