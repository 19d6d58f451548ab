"""The whole page: one file, nothing loaded from elsewhere. Pure."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.resources import files

from zeroloop import __version__
from zeroloop.cli.facts import RunFacts
from zeroloop.cli.report import sections
from zeroloop.cli.report.timeline import Bar
from zeroloop.cli.report.words import headline, lead
from zeroloop.cli.spans import Node
from zeroloop.core.rounds import StageSummary


def page(facts: RunFacts, traces: Sequence[tuple[int, Node]] = ()) -> str:
    """Return report.html.

    Args:
        facts: What is stored of the run.
        traces: (round, trace) of the rounds whose spans are known; they make the timeline
            exact and show training and the roll, which the buffer does not time.
    """
    played = {one.index: one for one in facts.played}
    typical = sections.typical_round(facts.played)
    known = dict(traces)
    bars: list[Bar] = []
    index = typical.index if typical else 0
    if index in known:
        bars = bars_of_trace(known[index])
    elif typical is not None:
        bars = bars_of_stages(typical.round.stages, played[index].round.opened_at)
    body = (
        f'<p class="eyebrow">zeroloop run {escape(facts.run.name)} · {_date(facts)}</p>'
        f"<h1>{headline(facts)}</h1>"
        f'<p class="lead">{lead(facts)}</p>'
        + sections.tiles(facts)
        + sections.heldout(facts)
        + sections.learning(facts)
        + sections.difficulty(facts)
        + sections.tasks(facts)
        + sections.time(facts, bars, index)
        + sections.work(facts)
        + sections.settings(facts)
        + sections.words()
        + _footer(facts)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(facts.run.name)}: {headline(facts)}</title>"
        f"<style>{_style()}</style></head><body><main>{body}</main></body></html>\n"
    )


def bars_of_trace(root: Node) -> list[Bar]:
    """The parts of a round from its trace: those that are ours, seconds from its start."""
    return [
        Bar(
            child.name.removeprefix("zeroloop.").removeprefix("weights."),
            (child.start_ns - root.start_ns) / 1e9,
            (child.end_ns - root.start_ns) / 1e9,
        )
        for child in root.children
        if child.name.startswith("zeroloop.") and "/" not in child.name
    ]


def bars_of_stages(stages: Sequence[StageSummary], opened_at: datetime) -> list[Bar]:
    """The parts of a round from when its stages were stored."""
    bars: list[Bar] = []
    for stage in stages:
        if stage.stored_at is not None:
            end_s = (stage.stored_at - opened_at).total_seconds()
            bars.append(Bar(stage.stage.value, max(0.0, end_s - stage.duration_s), end_s))
    return bars


def _date(facts: RunFacts) -> str:
    began = facts.run.status.started_at or facts.run.created_at
    return f"{began.astimezone():%d %B %Y, %H:%M}"


def _style() -> str:
    return files("zeroloop.cli.report").joinpath("style.css").read_text("utf-8")


def _footer(facts: RunFacts) -> str:
    name = escape(facts.run.name)
    return (
        f"<footer>Written by zeroloop {__version__} from the run's own records. More: "
        f"<code>zeroloop summary {name}</code>, <code>zeroloop tasks list {name}</code>, "
        f"<code>zeroloop trace {name} --round 1</code>.</footer>"
    )
