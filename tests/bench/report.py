"""Rows of a benchmark: printed as a table and written as JSON."""

import json
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path("build/bench")
UNKNOWN = float("nan")
"""The value of a row that could not be measured; its note says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One figure beside its target."""

    name: str
    value: float
    unit: str
    target: float | None = None
    """None: only reported."""

    better: Literal["higher", "lower"] = "higher"
    stretch: float | None = None
    """What would be better than enough."""

    low: float | None = None
    """Smallest of the values that this one is the median of."""

    high: float | None = None
    """Largest of them."""

    number: str = ""
    """Which demand it answers; several rows may answer one."""

    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return self._reaches(self.target)

    @property
    def stretch_met(self) -> bool | None:
        """Whether the stretch target is reached; None without one."""
        return self._reaches(self.stretch)

    def _reaches(self, target: float | None) -> bool | None:
        if target is None:
            return None
        if math.isnan(self.value):
            return False
        return self.value >= target if self.better == "higher" else self.value <= target


def write(
    benchmark: str,
    rows: Sequence[Row],
    *,
    notes: str = "",
    facts: Mapping[str, str] | None = None,
) -> bool:
    """Print the rows and write `build/bench/<benchmark>.json`; whether every target is met.

    `facts` says what was measured, beside what is known of the machine anyway.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": benchmark,
        "machine": machine(),
        "facts": dict(facts or {}),
        "notes": notes,
        "rows": [_plain(row) for row in rows],
    }
    path = FOLDER / f"{benchmark}.json"
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    print(f"{benchmark}  ->  {path}")
    for line in table(rows):
        print(line)
    return all(row.met is not False for row in rows)


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as lines of text; columns that would be empty are left out."""
    columns = {
        "#": [row.number for row in rows],
        "": [row.name for row in rows],
        "value": [_number(row.value) for row in rows],
        "min": [_number(row.low) for row in rows],
        "max": [_number(row.high) for row in rows],
        "unit": [row.unit for row in rows],
        "accept": [_limit(row, row.target) for row in rows],
        " ": [{True: "met", False: "MISSED", None: ""}[row.met] for row in rows],
        "stretch": [_limit(row, row.stretch) for row in rows],
        "  ": [{True: "met", False: "not yet", None: ""}[row.stretch_met] for row in rows],
        "   ": [row.note for row in rows],
    }
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    widths = {title: max(map(len, [title, *cells])) for title, cells in shown.items()}
    right = {"value", "min", "max"}
    for cells in [tuple(shown), *zip(*shown.values(), strict=True)]:
        placed = [
            cell.rjust(widths[title]) if title in right else cell.ljust(widths[title])
            for title, cell in zip(shown, cells, strict=True)
        ]
        yield "  " + "  ".join(placed).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "-" if math.isnan(value) else f"{value:.4g}"


def _limit(row: Row, target: float | None) -> str:
    if target is None:
        return ""
    return f"{'>=' if row.better == 'higher' else '<='} {target:g}"


def _plain(row: Row) -> dict[str, Any]:
    fields = asdict(row) | {"met": row.met, "stretch_met": row.stretch_met}
    # JSON has no NaN.
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in fields.items()
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()
