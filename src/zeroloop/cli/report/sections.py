"""The sections of the report. Pure: facts in, markup out."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from statistics import fmean

from zeroloop.cli.facts import RoundFacts, RunFacts
from zeroloop.cli.report import timeline
from zeroloop.cli.report.cards import card
from zeroloop.cli.report.charts import (
    SMOOTH_FROM_ROUNDS,
    SMOOTH_ROUNDS,
    Series,
    changes,
    curves,
    histogram,
)
from zeroloop.cli.report.choosing import best_tasks, complexity, solved_counts
from zeroloop.cli.report.svg import percent
from zeroloop.cli.report.timeline import Bar
from zeroloop.cli.report.words import GLOSSARY, number, verdict
from zeroloop.core import figures
from zeroloop.core.presets import PRESETS, departures
from zeroloop.core.settings import describe, from_mapping, names
from zeroloop.core.tasks import Kind

BEST_PER_KIND = 4


def tiles(facts: RunFacts) -> str:
    """The run's most important figures."""
    found = [
        (number(len(facts.invented)), "verified tasks invented"),
        (number(len({t.program for t in facts.invented})), "distinct programs"),
        (_mean(facts, figures.VALIDITY), "of proposals were valid"),
        (_mean(facts, figures.LEARNABLE), "of new tasks were learnable"),
        (number(sum(r.tokens for r in facts.rounds)), "tokens written"),
        (f"v{facts.weights_version}", "newest weights"),
    ]
    return _div(
        "tiles", "".join(f'<div class="tile"><b>{v}</b><span>{w}</span></div>' for v, w in found)
    )


def words() -> str:
    """What the words mean."""
    rows = "".join(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in GLOSSARY)
    return f"<h2>Words used here</h2><dl class='words'>{rows}</dl>"


def heldout(facts: RunFacts) -> str:
    """Did it get better?"""
    found = facts.changes()
    if not found:
        return _section("Did it get better?", verdict(found), "")
    rows = [(str(kind), str(kind), change) for kind, change in found.items()]
    tasks = min(change.difference.items for change in found.values())
    alt = "; ".join(
        f"{kind} {percent(c.before.mean, 1)} before, {percent(c.after.mean, 1)} after"
        for kind, c in found.items()
    )
    note = (
        f"Accuracy of sampled answers to {tasks} held-out tasks per kind, before learning (grey) "
        "and after (coloured). Bars are 95 % intervals; the change is measured "
        "task by task, which makes its own interval narrower than the bars suggest (normal "
        "approximations of Agresti and Coull, and of Agresti and Min)."
    )
    chart = f'<div class="card wide">{changes(rows, alt=f"Held-out accuracy: {alt}")}</div>'
    return _section("Did it get better?", verdict(found), chart, note)


def learning(facts: RunFacts) -> str:
    """Curves per role and kind."""
    solver = [_by_kind(facts, figures.SOLVER_ACCURACY, kind) for kind in Kind]
    proposer = [_by_kind(facts, figures.VALIDITY, kind) for kind in Kind]
    cards = _card("Solver: tasks solved", curves(solver, alt="Solver accuracy by round and kind"))
    cards += _card(
        "Proposer: proposals that are valid", curves(proposer, alt="Validity by round and kind")
    )
    note = (
        f"{_smoothing(facts)}The solver's curve is measured on tasks that the model invents as it "
        "goes, so it can stay flat while both sides improve; the held-out figures above do not "
        "have this weakness."
    )
    return _section("Round by round", "", _div("pair", cards), note)


def difficulty(facts: RunFacts) -> str:
    """How hard the new tasks were, and how rich."""
    counts = solved_counts(facts.invented)
    bars = histogram(counts, alt="New tasks by how often the solver managed them")
    cards = _card("How often new tasks were solved", bars)
    grown = [Series(str(kind), str(kind), _complexities(facts, kind)) for kind in Kind]
    rich = curves(grown, ratio=False, alt="Mean size of invented programs by round and kind")
    cards += _card("Size of the programs it invents (syntax nodes)", rich)
    note = (
        "Each new task was tried several times. Tasks that were never or always solved (grey) "
        "teach nothing; the proposer is paid for the ones between, most for the rarely solved."
    )
    return _section("What it invented", "", _div("pair", cards), note)


def tasks(facts: RunFacts) -> str:
    """The best tasks, as cards."""
    chosen = best_tasks(facts.invented, BEST_PER_KIND)
    if not chosen:
        return ""
    cards = "".join(card(task) for task in chosen)
    note = (
        "Hard but solvable, and among those the richest programs. What was hidden from the solver "
        "is <span class='hidden'>highlighted</span>."
    )
    return _section("Some of its best tasks", "", _div("tasks", cards), note)


def time(facts: RunFacts, bars: Sequence[Bar], round_index: int) -> str:
    """Where the time went."""
    first = timeline.gantt(bars, alt=f"Timeline of round {round_index}")
    rounds = [(one.index, one.wall_seconds) for one in facts.played]
    second = timeline.stacks(rounds, alt="Seconds of each round by who worked")
    cards = _card(f"Round {round_index}, from start to new weights", first)
    cards += _card("Every round", second)
    return _section("Where the time went", "", _div("pair", cards) + timeline.legend())


def work(facts: RunFacts) -> str:
    """Programs that the sandbox ran, by how they ended."""
    runs: Counter[str] = sum((one.runs for one in facts.rounds), Counter[str]())
    total = sum(runs.values())
    if not total:
        return ""
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td class='num'>{number(count)}</td>"
        f"<td class='num'>{percent(count / total, 1)}</td></tr>"
        for status, count in runs.most_common()
    )
    head = "<tr><th>how the run ended</th><th class='num'>runs</th><th class='num'>share</th></tr>"
    note = "A failure of the platform (not_executed) never counts for or against an answer."
    return _section(
        "What the sandbox ran", "", f'<div class="card"><table>{head}{rows}</table></div>', note
    )


def settings(facts: RunFacts) -> str:
    """Departures from the paper, and every setting in force."""
    in_force = facts.run.effective_settings
    base = PRESETS.get(facts.run.spec.preset or "paper", PRESETS["paper"])
    known = {name: in_force[name] for name in names() if name in in_force}
    changed = departures(from_mapping(known), base) if known else []
    rows = "".join(
        f"<tr><td><code>{d.name}</code></td><td>{_value(d.paper)}</td><td>{_value(d.value)}</td>"
        f"<td>{escape(d.why)}</td></tr>"
        for d in changed
    )
    head = "<tr><th>setting</th><th>paper</th><th>this run</th><th>why</th></tr>"
    table = f'<div class="card wide"><table>{head}{rows}</table></div>' if changed else ""
    every = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_value(value)}</td>"
        f"<td>{escape(describe(name)) if name in names() else ''}</td></tr>"
        for name, value in sorted(in_force.items())
    )
    folded = f'<div class="wide"><table>{every}</table></div>'
    body = f"{table}<details><summary>Every setting in force</summary>{folded}</details>"
    preset = escape(facts.run.spec.preset or "paper")
    text = (
        f"Preset <b>{preset}</b>, seed {facts.run.spec.seed}. Where this run departs from the "
        "published algorithm (Absolute Zero, arXiv:2505.03335):"
    )
    return _section("Settings", text if changed else f"Preset <b>{preset}</b>.", body)


def _smoothing(facts: RunFacts) -> str:
    if len(facts.played) < SMOOTH_FROM_ROUNDS:
        return ""
    return f"Dots are single rounds, lines the mean of up to {SMOOTH_ROUNDS} around each. "


def _complexities(facts: RunFacts, kind: Kind) -> list[tuple[float, float]]:
    sizes: dict[int, list[int]] = {}
    for task in facts.invented:
        if task.kind is kind:
            sizes.setdefault(task.lineage.round, []).append(complexity(task.program))
    return [(float(index), fmean(found)) for index, found in sorted(sizes.items())]


def _by_kind(facts: RunFacts, name: str, kind: Kind) -> Series:
    known = [(float(r.index), v) for r in facts.played if (v := r.of(name, kind)) is not None]
    return Series(str(kind), str(kind), known)


def _mean(facts: RunFacts, name: str) -> str:
    known = [v for one in facts.played if (v := one.of(name)) is not None]
    return percent(fmean(known)) if known else "unknown"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return escape(", ".join(str(item) for item in value))
    return escape(str(value)) or "-"


def _section(title: str, text: str, body: str, note: str = "") -> str:
    said = f'<p class="verdict">{text}</p>' if text else ""
    noted = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{said}{noted}{body}</section>"


def _card(title: str, body: str) -> str:
    return f'<div class="card"><h3>{title}</h3>{body}</div>'


def _div(css: str, body: str) -> str:
    return f'<div class="{css}">{body}</div>'


def typical_round(rounds: Sequence[RoundFacts]) -> RoundFacts | None:
    """The round of median length."""
    by_length = sorted(rounds, key=lambda one: sum(one.wall_seconds.values()))
    return by_length[len(by_length) // 2] if by_length else None
