"""Where the time of a round and of a run went. Pure: values in, markup out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeroloop.cli.durations import short
from zeroloop.cli.report.svg import Scale, element, picture, text, ticks, title

WORKERS = {
    "engine": "model writes",
    "sandbox": "sandbox runs programs",
    "optimiser": "optimiser learns",
    "other": "waiting and bookkeeping",
}
"""Who works, and its name in the legend."""

WORKER_OF = {
    "seed": "engine",
    "propose": "engine",
    "validate": "sandbox",
    "estimate": "engine",
    "solve": "engine",
    "train": "optimiser",
    "evaluate": "engine",
}
"""Who works most during a stage; what is missing is bookkeeping."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage on a round's timeline; seconds from the round's start."""

    stage: str
    start_s: float
    end_s: float


def gantt(bars: Sequence[Bar], *, alt: str) -> str:
    """Draw one round: a row per stage, in order of starting."""
    width, left, right, row, top = 460.0, 92.0, 56.0, 24.0, 6.0
    height = top + row * len(bars) + 34
    if not bars:
        return picture(width, 60, text(width / 2, 30, "no data", "axis", "middle"), alt=alt)
    x_of = Scale(0, max(bar.end_s for bar in bars), left, width - right)
    base = top + row * len(bars)
    parts = [_mark(x_of(t), top, base, short(t)) for t in ticks(0, x_of.high, 4)]
    for index, bar in enumerate(sorted(bars, key=lambda b: (b.start_s, b.end_s))):
        y = top + row * index
        seconds = short(bar.end_s - bar.start_s)
        parts.append(text(left - 8, y + 16, bar.stage, "label", "end"))
        rect = element(
            "rect",
            title(f"{bar.stage}: {seconds}, from {short(bar.start_s)} on"),
            x=x_of(bar.start_s),
            y=y + 4,
            width=max(x_of(bar.end_s) - x_of(bar.start_s), 1.5),
            height=row - 8,
            rx=2,
            class_=f"fill-{worker(bar.stage)}",
        )
        parts += [rect, text(x_of(bar.end_s) + 6, y + 16, seconds, "value")]
    return picture(width, height, *parts, alt=alt)


def stacks(rounds: Sequence[tuple[int, Mapping[str, float]]], *, alt: str) -> str:
    """Draw the seconds of each round as a column, split by who worked.

    Args:
        rounds: (round, seconds by stage).
    """
    width, height, left, right, top, bottom = 460.0, 232.0, 48.0, 8.0, 10.0, 34.0
    totals = [sum(seconds.values()) for _, seconds in rounds]
    if not totals or not max(totals):
        return picture(width, 60, text(width / 2, 30, "no data", "axis", "middle"), alt=alt)
    x_of = Scale(rounds[0][0] - 0.5, rounds[-1][0] + 0.5, left, width - right)
    y_of = Scale(0, max(totals) * 1.04, height - bottom, top)
    parts = [
        element("line", x1=left, x2=width - right, y1=y_of(t), y2=y_of(t), class_="grid")
        + text(left - 6, y_of(t) + 4, short(t), "tick", "end")
        for t in ticks(0, y_of.high, 4)
    ]
    bar = min((x_of(1) - x_of(0)) * 0.8, 40.0)
    for round_index, seconds in rounds:
        parts.append(_column(x_of(round_index) - bar / 2, bar, y_of, round_index, seconds))
    for t in ticks(rounds[0][0], rounds[-1][0], 8, whole=True):
        parts.append(text(x_of(t), height - bottom + 16, f"{t:g}", "tick", "middle"))
    parts.append(text((left + width - right) / 2, height - 3, "round", "axis", "middle"))
    return picture(width, height, *parts, alt=alt)


def worker(stage: str) -> str:
    """Who works during `stage`, as a class of style.css."""
    return WORKER_OF.get(stage, "other")


def legend() -> str:
    """The colours of both pictures."""
    entries = "".join(
        f'<span class="key"><i class="back-{css}"></i>{words}</span>'
        for css, words in WORKERS.items()
    )
    return f'<p class="legend">{entries}</p>'


def _column(
    x: float, width: float, y_of: Scale, round_index: int, seconds: Mapping[str, float]
) -> str:
    parts: list[str] = []
    below = 0.0
    for css, words in WORKERS.items():
        share = sum(s for stage, s in seconds.items() if worker(stage) == css)
        if share <= 0:
            continue
        rect = element(
            "rect",
            title(f"round {round_index}: {words} {short(share)}"),
            x=x,
            y=y_of(below + share),
            width=width,
            height=max(y_of(below) - y_of(below + share) - 0.75, 0.5),
            class_=f"fill-{css}",
        )
        parts.append(rect)
        below += share
    return "".join(parts)


def _mark(x: float, top: float, base: float, words: str) -> str:
    line = element("line", x1=x, x2=x, y1=top, y2=base, class_="grid")
    return line + text(x, base + 16, words, "tick", "middle")
