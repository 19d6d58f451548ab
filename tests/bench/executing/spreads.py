"""Statistics of repeated measurements. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What repeated measurements gave."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest.

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no measurement, so no median")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(first: Sequence[float], second: Sequence[float]) -> Spread:
    """How many times the second the first is, turn by turn.

    Raises:
        ValueError: They do not have as many turns.
    """
    return spread([a / b for a, b in zip(first, second, strict=True)])


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least so many of them do not exceed.

    Args:
        share: In (0, 1].

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no measurement, so no quantile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ideal_per_s(*, cores: int, loops_share: float, limit_s: float, trivial_per_s: float) -> float:
    """Programs per second if each endless loop took its limit of a core and nothing else.

    `trivial_per_s` is what all cores together do without loops.
    """
    cost_s = cores / trivial_per_s
    return cores / (loops_share * limit_s + cost_s)
