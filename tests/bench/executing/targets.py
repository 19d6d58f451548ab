"""What is demanded of the service, by the number of the demand, and rows that answer it. Pure.

Demands 12, 14, 17 and 18 are tests of their own: hostile programs, a soak, verdicts on
determinism, agreement with runc.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.bench.executing.spreads import Spread, ratios, spread
from tests.bench.executing.ways import Visit
from tests.bench.report import UNKNOWN, Row

NATIVE = "native"
"""Key of N, which the others are compared with."""

UNIT = "N"


@dataclass(frozen=True, slots=True)
class Target:
    """What is enough, and what would be better."""

    number: str
    accept: float | None = None
    stretch: float | None = None
    better: Literal["higher", "lower"] = "higher"


UNJUDGED = Target("")
TARGETS = {
    "reset pipe 1": Target("1", 1.5, 5.0),
    "reset two sandboxes systrap": Target("2", 1.4, 1.7),
    "reset two sandboxes ptrace": Target("2", 1.7, 1.9),
    "strict pipe 1": Target("3", 0.10, 0.16),
    "reset grpc 2": Target("4", 3.6, 9.1),
    "reset grpc 1": Target("5", 1.3, 5.1),
    "reset single p99": Target("6", 5.0, 2.0, "lower"),
    "strict single p99": Target("6", 40.0, None, "lower"),
    "reset batch p99": Target("7", 90.0, 25.0, "lower"),
    "reset processor": Target("8", 1.0, 0.3, "lower"),
    "grpc added": Target("9", 2.0, 1.0, "lower"),
    "start": Target("10", 400.0, 250.0, "lower"),
    "memory": Target("11", 90.0, 60.0, "lower"),
    "kill delay": Target("13", 200.0, 50.0, "lower"),
    "false timeouts": Target("15", 0.0, None, "lower"),
    "loops": Target("16", 0.80, 0.95),
}
"""Ratios; milliseconds; mebibytes; runs."""


def row(name: str, value: Spread | float, unit: str, target: str = "", note: str = "") -> Row:
    """A figure beside the target of that name; without one it is only reported."""
    demand = TARGETS.get(target, UNJUDGED)
    many = value if isinstance(value, Spread) else None
    return Row(
        name=name,
        value=value.median if isinstance(value, Spread) else value,
        unit=unit,
        target=demand.accept,
        stretch=demand.stretch,
        better=demand.better,
        low=many.low if many else None,
        high=many.high if many else None,
        number=demand.number,
        note=note,
    )


def rate_rows(names: Mapping[str, str], visits: Mapping[str, Sequence[Visit]]) -> list[Row]:
    """Programs per second of each way."""
    return [
        row(name, spread([visit.per_s for visit in visits[key]]), "exec/s")
        for key, name in names.items()
    ]


def ratio_rows(names: Mapping[str, str], visits: Mapping[str, Sequence[Visit]]) -> list[Row]:
    """Each way but N as a multiple of N, turn by turn."""
    native = [visit.per_s for visit in visits[NATIVE]]
    return [
        row(name, ratios([visit.per_s for visit in visits[key]], native), UNIT, key)
        for key, name in names.items()
        if key != NATIVE
    ]


def scaling_row(mode: str, platform: str, visits: Mapping[str, Sequence[Visit]]) -> Row:
    """Two sandboxes as a multiple of one."""
    one, two = ([v.per_s for v in visits[f"{mode} pipe {count}"]] for count in (1, 2))
    target = f"{mode} two sandboxes {platform}"
    return row(f"{mode}: two sandboxes / one", ratios(two, one), "ratio", target)


def processor_rows(mode: str, visits: Mapping[str, Sequence[Visit]]) -> list[Row]:
    """Processor time of a run: what its sandbox took, and what our own code took."""
    one = visits[f"{mode} pipe 1"]
    sandbox = spread([1000 * visit.processor_s / visit.programs for visit in one])
    own = spread([1000 * visit.own_processor_s / visit.programs for visit in one])
    return [
        row(
            f"{mode}: processor time of a run, Sentry included", sandbox, "ms", f"{mode} processor"
        ),
        row(f"{mode}: processor time of a run, the service's own code", own, "ms"),
    ]


def missing(name: str, why: str) -> Row:
    """A figure that this machine cannot give."""
    return row(name, UNKNOWN, UNIT, note=why)


def is_known(found: Row) -> bool:
    """Whether there is a figure."""
    return not math.isnan(found.value)
