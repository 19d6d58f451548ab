"""Curves, histograms, intervals and timelines. Pure: values in, markup out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zeroloop.cli.report.svg import (
    Scale,
    element,
    percent,
    picture,
    spread,
    text,
    ticks,
    title,
)
from zeroloop.core.heldout import Change, Interval

VALUE_WIDTH = 48.0
"""Room for a value behind the end of its interval."""

RATIO_SPAN_MIN = 0.2
"""Smallest part of the percentage axis that is shown, or noise would look like news."""

Write = Callable[[float], str]

SMOOTH_ROUNDS = 5
"""Rounds that the line of a curve averages over; single rounds are dots."""

SMOOTH_FROM_ROUNDS = 10
"""Of fewer rounds the line goes through every dot."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    label: str

    css: str
    """Class of style.css that gives its colour."""

    points: Sequence[tuple[float, float]]
    """(round, value), by rising round."""


def smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Return the centred moving average over at most `window` neighbours."""
    half = window // 2
    return [
        (x, sum(y for _, y in near) / len(near))
        for i, (x, _) in enumerate(points)
        for near in [points[max(0, i - half) : i + half + 1]]
    ]


def curves(series: Sequence[Series], *, alt: str, ratio: bool = True) -> str:
    """Draw curves over rounds: a dot for each round, a line for their moving average.

    Args:
        ratio: Values are in [0, 1] and written as percentages.
    """
    width, height, left, right, top, bottom = 460.0, 232.0, 40.0, 84.0, 12.0, 34.0
    drawn = [one for one in series if one.points]
    if not drawn:
        return _nothing(width, 60, alt)
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    x_of = Scale(min(xs), max(xs), left + 6, width - right)
    low, high = _limits(ys, ratio=ratio)
    y_of = Scale(low, high, height - bottom, top)
    write = percent if ratio else _number
    parts = [_y_axis(y_of, left, width - right, write), _rounds_axis(x_of, height - bottom)]
    ends = [_line(one)[-1][1] for one in drawn]
    labels = spread([y_of(y) for y in ends], 15, top, height - bottom)
    for one, y_end, y_label in zip(drawn, ends, labels, strict=True):
        parts += [_curve(one, x_of, y_of, write)]
        x_label = width - right + 10
        parts.append(text(x_label, y_label + 4, one.label, f"label fill-{one.css}"))
        if abs(y_label - y_of(y_end)) > 6:
            parts.append(_leader(x_of(max(xs)), y_of(y_end), x_label - 2, y_label))
    return picture(width, height, *parts, alt=alt)


def histogram(counts: Sequence[int], *, alt: str) -> str:
    """Draw how many tasks were solved 0, 1, ... n of n times; the two ends are muted."""
    width, height, left, right, top, bottom = 460.0, 232.0, 40.0, 12.0, 18.0, 44.0
    if not sum(counts):
        return _nothing(width, 60, alt)
    last = len(counts) - 1
    x_of = Scale(-0.5, last + 0.5, left, width - right)
    y_of = Scale(0, max(counts) * 1.05, height - bottom, top)
    parts = [_y_axis(y_of, left, width - right, _number)]
    bar = (x_of(1) - x_of(0)) * 0.78
    for solved, count in enumerate(counts):
        css = "muted" if solved in (0, last) else "accent"
        x, y = x_of(solved) - bar / 2, y_of(count)
        rect = element(
            "rect",
            title(f"{count} tasks solved {solved} of {last} times"),
            x=x,
            y=y,
            width=bar,
            height=max(height - bottom - y, 0.0),
            rx=2,
            class_=f"fill-{css}",
        )
        parts += [rect, text(x_of(solved), height - bottom + 16, str(solved), "tick", "middle")]
        if count:
            parts.append(text(x_of(solved), y - 4, str(count), "value", "middle"))
    middle = (left + width - right) / 2
    parts.append(text(middle, height - 8, f"times solved, of {last}", "axis", "middle"))
    return picture(width, height, *parts, alt=alt)


def changes(rows: Sequence[tuple[str, str, Change]], *, alt: str) -> str:
    """Draw held-out accuracy before and after, a row per (label, colour, change)."""
    width, left, right, row, top = 960.0, 92.0, 262.0, 62.0, 8.0
    height = top + row * len(rows) + 26
    intervals = [i for _, _, change in rows for i in (change.before, change.after)]
    if not intervals:
        return _nothing(width, 60, alt)
    low = max(0.0, min(i.low for i in intervals) - 0.02)
    high = min(1.0, max(i.high for i in intervals) + 0.02)
    x_of = Scale(low, high, left + 12, width - right - VALUE_WIDTH)
    base = top + row * len(rows)
    parts = [
        element("line", x1=x_of(t), x2=x_of(t), y1=top, y2=base, class_="grid")
        + text(x_of(t), base + 18, percent(t), "tick", "middle")
        for t in ticks(low, high, 6)
    ]
    parts.append(text(width - right + 32, base + 18, "change, percentage points", "tick"))
    for index, (label, css, change) in enumerate(rows):
        y = top + row * index + row / 2
        parts.append(text(left - 8, y + 5, label, f"name fill-{css}", "end"))
        parts.append(_interval(x_of, y - 11, change.before, "muted", "before"))
        parts.append(_interval(x_of, y + 9, change.after, css, "after"))
        x = width - right + 32
        d = change.difference
        parts.append(text(x, y, points(d.mean), f"delta fill-{css}"))
        parts.append(text(x, y + 18, f"95 % interval {points(d.low)} to {points(d.high)}", "tick"))
    return picture(width, height, *parts, alt=alt)


def points(difference: float) -> str:
    """Write a difference of ratios in percentage points, signed."""
    return f"{difference * 100:+.1f}".replace("-", "\u2212")


def _interval(x_of: Scale, y: float, interval: Interval, css: str, when: str) -> str:
    ends = f"{percent(interval.low, 1)} to {percent(interval.high, 1)}"
    words = f"{when}: {percent(interval.mean, 1)}, 95 % interval {ends}"
    low, high = max(interval.low, x_of.low), min(interval.high, x_of.high)
    line = element("line", x1=x_of(low), x2=x_of(high), y1=y, y2=y, class_=f"whisker stroke-{css}")
    dot = element("circle", cx=x_of(interval.mean), cy=y, r=5.5, class_=f"fill-{css}")
    label = text(x_of(high) + 8, y + 4, percent(interval.mean, 1), "value")
    return element("g", title(words), line, dot, label)


def _curve(one: Series, x_of: Scale, y_of: Scale, write: Write) -> str:
    dots = "".join(
        element(
            "circle",
            title(f"{one.label}, round {x:g}: {write(y)}"),
            cx=x_of(x),
            cy=y_of(y),
            r=2.2,
            class_=f"dot fill-{one.css}",
        )
        for x, y in one.points
    )
    line = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in _line(one))
    return dots + element("polyline", points=line, class_=f"curve stroke-{one.css}")


def _line(one: Series) -> Sequence[tuple[float, float]]:
    if len(one.points) < SMOOTH_FROM_ROUNDS:
        return one.points
    return smooth(one.points, SMOOTH_ROUNDS)


def _leader(x: float, y: float, x_label: float, y_label: float) -> str:
    return element("line", x1=x + 3, y1=y, x2=x_label, y2=y_label, class_="leader")


def _y_axis(y_of: Scale, left: float, right: float, write: Write) -> str:
    return "".join(
        element("line", x1=left, x2=right, y1=y_of(t), y2=y_of(t), class_="grid")
        + text(left - 6, y_of(t) + 4, write(t), "tick", "end")
        for t in ticks(y_of.low, y_of.high, 4)
    )


def _rounds_axis(x_of: Scale, y: float) -> str:
    marks = "".join(
        text(x_of(t), y + 16, f"{t:g}", "tick", "middle")
        for t in ticks(x_of.low, x_of.high, 7, whole=True)
    )
    return marks + text((x_of.start + x_of.end) / 2, y + 31, "round", "axis", "middle")


def _limits(ys: Sequence[float], *, ratio: bool) -> tuple[float, float]:
    """Start at zero unless the values are all far above it; leave some air."""
    low, high = min(ys), max(ys)
    air = max((high - low) * 0.15, 0.02 if ratio else high * 0.05, 1e-6)
    start = 0.0 if 0 <= low < 0.6 * high else low - air
    if not ratio:
        return start, high + air
    end = min(1.0, high + air)
    return max(0.0, min(start, end - RATIO_SPAN_MIN)), end


def _nothing(width: float, height: float, alt: str) -> str:
    return picture(width, height, text(width / 2, height / 2, "no data", "axis", "middle"), alt=alt)


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 10 else f"{value:g}"
