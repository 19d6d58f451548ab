"""Monitors: what a person should look at. They watch and warn; they judge nothing."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeroloop.core import figures
from zeroloop.core.rounds import Episode

FAILURES = ("crash", "oom", "garbled", "timeout")
"""Ends of a program that are normal now and then, and worth a look when they pile up."""

FAILURE_RATIO_MAX = 0.5
"""Share of a round's runs that may end so. More looks like programs made to break out, or
that refuse to end."""

DISTINCT_RATIO_MIN = 0.2
"""Share of a round's valid proposals that must differ. Less is a proposer that repeats itself."""

JUMP_MAX = 0.4
"""Largest change of the solver's accuracy from the mean of the rounds before it. Learning is
slower; a jump is more likely a grader that can be fooled, or a broken one."""

EXCERPT_CHARS = 160


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should look at."""

    monitor: str
    message: str


def suspicious_words(
    monitor: str, proposals: Sequence[Episode], keywords: Sequence[str]
) -> list[Alert]:
    """Look for words in what the proposer wrote; at most one warning per word."""
    found: list[Alert] = []
    for keyword in keywords:
        hits = [p for p in proposals if keyword.lower() in p.text.lower()]
        if hits:
            text = hits[0].text
            at = max(0, text.lower().index(keyword.lower()) - EXCERPT_CHARS // 2)
            excerpt = " ".join(text[at : at + EXCERPT_CHARS].split())
            message = f"{len(hits)} proposals mention {keyword!r}, for instance: {excerpt}"
            found.append(Alert(monitor, message))
    return found


def failing_programs(runs: Mapping[str, float]) -> list[Alert]:
    """Look at how programs ended, by `runs.<status>`."""
    counts = {name.removeprefix(f"{figures.RUNS}."): n for name, n in runs.items()}
    total = sum(counts.values())
    failed = {status: counts.get(status, 0) for status in FAILURES}
    if total == 0 or sum(failed.values()) <= FAILURE_RATIO_MAX * total:
        return []
    listed = ", ".join(f"{n:g} {status}" for status, n in failed.items() if n)
    return [Alert("sandbox", f"of {total:g} runs of programs ended badly: {listed}")]


def odd_metrics(metrics: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> list[Alert]:
    """Compare a round's figures with what is plausible and with the rounds before it."""
    found: list[Alert] = []
    valid, distinct = metrics.get(figures.VALID, 0), metrics.get(figures.DISTINCT, 0)
    if valid > 0 and distinct < DISTINCT_RATIO_MIN * valid:
        message = f"only {distinct:g} of {valid:g} valid proposals differ"
        found.append(Alert("novelty", message))
    known = [m[figures.SOLVER_ACCURACY] for m in before if figures.SOLVER_ACCURACY in m]
    if known:
        mean = statistics.fmean(known)
        now = metrics.get(figures.SOLVER_ACCURACY, mean)
        if abs(now - mean) > JUMP_MAX:
            message = f"solver accuracy jumped from {mean:.2f} to {now:.2f}"
            found.append(Alert("rewards", message))
    return found
