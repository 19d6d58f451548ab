"""A bar for each way, as a multiple of N, with what is demanded of it. Pure: rows in, SVG out."""

import math
from collections.abc import Iterator, Sequence

from tests.bench.executing.targets import UNIT, is_known
from tests.bench.report import Row
from zeroloop.cli.report.svg import element, picture, text, title

WIDTH = 900.0
NAMES_WIDTH = 290.0
VALUES_WIDTH = 150.0
TOP = 78.0
STEP = 30.0
BAR = 16.0
BOTTOM = 34.0

STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}
.head{font-weight:600;font-size:16px}.tick,.value{fill:#57606a;font-size:12px}
.grid{stroke:#d0d7de}.one{stroke:#57606a;stroke-dasharray:4 3}.paper{fill:#fff}
.plain{fill:#9aa4b0}.met{fill:#2f7d4f}.missed{fill:#b3423a}
.range{stroke:#24292f}.accept{stroke:#24292f;stroke-width:3}
.stretch{stroke:#24292f;stroke-width:1.5;stroke-dasharray:2 2}
"""


def chart(rows: Sequence[Row], *, heading: str) -> str:
    """Draw the rows whose unit is N, on a logarithmic axis."""
    bars = [row for row in rows if row.unit == UNIT]
    place = _Axis([x for row in bars for x in _values(row)])
    height = TOP + STEP * len(bars) + BOTTOM
    return picture(
        WIDTH,
        height,
        element("style", STYLE),
        element("rect", width=WIDTH, height=height, class_="paper"),
        text(16, 28, heading, "head"),
        *_legend(),
        *_axis(place, height - BOTTOM),
        *(part for index, row in enumerate(bars) for part in _bar(row, place, TOP + STEP * index)),
        alt=heading,
    )


class _Axis:
    """Maps a multiple of N to its place; whole decades around all values."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = math.floor(math.log10(min(values, default=0.1)) - 0.05)
        self.high = max(math.ceil(math.log10(max(values, default=1.0)) + 0.05), self.low + 1)

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return NAMES_WIDTH + share * (WIDTH - NAMES_WIDTH - VALUES_WIDTH)

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _values(row: Row) -> list[float]:
    values = [row.value if is_known(row) else None, row.low, row.high, row.target, row.stretch]
    return [value for value in values if value is not None and value > 0]


def _legend() -> Iterator[str]:
    for x, css, words in ((16, "accept", "accept"), (90, "stretch", "stretch")):
        yield element("line", x1=x, x2=x, y1=42, y2=58, class_=css)
        yield text(x + 8, 54, words, "tick")
    yield text(170, 54, "N: a native fork server without isolation; thin line: min to max", "tick")


def _axis(place: _Axis, bottom: float) -> Iterator[str]:
    for decade in place.decades:
        x = place(decade)
        yield element("line", x1=x, x2=x, y1=TOP - 6, y2=bottom, class_="grid")
        yield text(x, bottom + 18, f"{decade:g} N", "tick", "middle")
    yield element("line", x1=place(1), x2=place(1), y1=TOP - 6, y2=bottom, class_="one")


def _bar(row: Row, place: _Axis, top: float) -> Iterator[str]:
    middle = top + STEP / 2
    name = f"{row.number} · {row.name}" if row.number else row.name
    yield text(NAMES_WIDTH - 10, middle + 4, name, anchor="end")
    left = place(place.decades[0])
    if not is_known(row):
        yield text(left + 6, middle + 4, row.note, "value")
        return
    css = {True: "met", False: "missed", None: "plain"}[row.met]
    words = f"{row.value:.3g} N" + (f", accept {row.target:g}" if row.target is not None else "")
    yield element(
        "rect",
        title(f"{row.name}: {words}"),
        x=left,
        y=middle - BAR / 2,
        width=place(row.value) - left,
        height=BAR,
        class_=css,
    )
    if row.low is not None and row.high is not None:
        ends = {"x1": place(row.low), "x2": place(row.high), "y1": middle, "y2": middle}
        yield element("line", class_="range", **ends)
    for target, kind in ((row.target, "accept"), (row.stretch, "stretch")):
        if target is not None:
            x = place(target)
            ends = {"x1": x, "x2": x, "y1": middle - STEP / 2 + 3, "y2": middle + STEP / 2 - 3}
            yield element("line", class_=kind, **ends)
    yield text(WIDTH - VALUES_WIDTH + 12, middle + 4, words, "value")
