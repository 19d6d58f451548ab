"""Pictures as text: elements, scales and axes. Pure; colours are classes of style.css."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """Return one element. `class_` is written `class`, other underscores become hyphens.

    Children are markup; text goes through `text` or `html.escape` first.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_written(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(children)
    return f"<{name}{pairs}>{inside}</{name}>" if inside else f"<{name}{pairs}/>"


def text(x: float, y: float, words: str, css: str = "label", anchor: str = "start") -> str:
    """Return words whose baseline starts, ends or is centred at (x, y)."""
    return element("text", escape(words), x=x, y=y, class_=css, text_anchor=anchor)


def title(words: str) -> str:
    """Return what a pointer that rests on the parent shows."""
    return element("title", escape(words))


def picture(width: float, height: float, *children: str, alt: str) -> str:
    """Return a picture that scales with the page; `alt` says what it shows."""
    return element(
        "svg",
        title(alt),
        *children,
        viewBox=f"0 0 {_written(width)} {_written(height)}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] of the data to [start, end] of the picture, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, count_max: int = 5, *, whole: bool = False) -> list[float]:
    """Return round values within [low, high], at most `count_max` + 1 of them.

    Args:
        whole: Only integers.
    """
    span = high - low
    if span <= 0:
        return [low]
    rough = span / count_max
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    if whole:
        step = max(1, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart to at least `gap`, in their order, within [low, high] if they fit."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [positions[i] for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if placed and placed[-1] > high:
        placed[-1] = high
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    if placed and placed[0] < low:
        shift = low - placed[0]
        placed = [position + shift for position in placed]
    result = [0.0] * len(positions)
    for rank, index in enumerate(order):
        result[index] = placed[rank]
    return result


def percent(ratio: float, digits: int = 0) -> str:
    """Write a ratio as a percentage: 0.341 as `34 %`."""
    return f"{ratio * 100:.{digits}f} %"


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
