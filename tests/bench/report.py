"""Rows of a benchmark: printed as a table and written as JSON."""

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path("build/bench")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One figure beside its target."""

    name: str
    value: float
    unit: str
    target: float | None = None
    """None: only reported."""

    better: Literal["higher", "lower"] = "higher"

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        if math.isnan(self.value):
            return False
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


def write(benchmark: str, rows: Sequence[Row], *, notes: str = "") -> bool:
    """Print the rows and write `build/bench/<benchmark>.json`; whether every target is met."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": benchmark,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": _cores()},
        "notes": notes,
        "rows": [asdict(row) | {"met": row.met} for row in rows],
    }
    path = FOLDER / f"{benchmark}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{benchmark}  ->  {path}")
    for row in rows:
        target = (
            ""
            if row.target is None
            else f"{'>=' if row.better == 'higher' else '<='} {row.target:g}"
        )
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        print(f"  {row.name:<52} {row.value:>12.4g} {row.unit:<10} {target:<10} {mark}")
    return all(row.met is not False for row in rows)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))
