"""The last lines of a run. Pure."""

from collections.abc import Sequence

from zeroloop.cli.durations import short
from zeroloop.cli.facts import RunFacts
from zeroloop.cli.output import counted
from zeroloop.cli.play.progress import KINDS
from zeroloop.cli.summary import duration_s
from zeroloop.core.heldout import Change
from zeroloop.core.tasks import Kind

NOT_SETTLED = "; run `make learn` for a result that is significant"


def closing_lines(facts: RunFacts, shown: str, *, report: bool) -> list[str]:
    """Say what came of the run and where to go from here.

    Args:
        facts: What is stored of the run.
        shown: The run's folder as the user would type it.
        report: Whether report.html was written.
    """
    rounds, tasks = len(facts.played), len(facts.invented)
    done = f"done in {short(duration_s(facts))}"
    played = f"{counted(rounds, 'round')}, {counted(tasks, 'task')}"
    lines = [f"{done}: {played}, weights v{facts.weights_version}"]
    lines += heldout_lines(facts.changes())
    if report:
        lines.append(f"  report     {shown}/report.html")
    lines.append(f"  trace      zeroloop trace {shown} --round {rounds}")
    lines.append(f"  go on      zeroloop play --resume {shown}")
    return lines


def heldout_lines(changes: dict[Kind, Change]) -> list[str]:
    """Held-out accuracy after learning and its change, a line per kind."""
    settled = any(change.difference.excludes_zero for change in changes.values())
    lines: list[str] = []
    for kind in (kind for kind in KINDS if kind in changes):
        change = changes[kind]
        d = change.difference
        lines.append(
            f"  {'held-out' if not lines else '':<11}{kind:<10}{change.after.mean * 100:5.1f} % "
            f"({d.mean * 100:+.1f}, 95 % interval {d.low * 100:+.1f} to {d.high * 100:+.1f})"
        )
    if lines and not settled:
        lines[-1] += NOT_SETTLED
    return lines


def stopped_lines(round_index: int, stage: str, shown: str) -> Sequence[str]:
    """Say where a run was stopped and how it goes on."""
    where = f"round {round_index}, {stage}" if stage else f"round {round_index}"
    return (
        f"stopped in {where}; what is stored stays",
        f"  go on      zeroloop play --resume {shown}",
    )
