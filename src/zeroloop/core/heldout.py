"""Held-out accuracy and its change, with intervals.

Every interval is a 95 % normal approximation with pseudo-observations. Without them a plain one
is too sure of itself where few tasks count: four tasks gained and none lost of 300 would pass for
settled, which an exact test denies (p = 0.125). Sources: Agresti and Coull, "Approximate is
better than exact for interval estimation of binomial proportions", 1998; Agresti and Min,
"Simple improved confidence intervals for comparing matched proportions", 2005. Both are written
here for values between the extremes too, such as means over several samples of a task.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval, which need not be symmetric around it."""

    mean: float
    low: float
    high: float
    items: int

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the mean is settled at 95 %."""
        return self.low > 0 or self.high < 0


def accuracy_interval(accuracies: Sequence[float]) -> Interval:
    """Return the mean accuracy of tasks, each in [0, 1]; two are added at either extreme.

    Raises:
        ValueError: There is no task.
    """
    interval = _interval(accuracies, pseudo_items=4, pseudo_sum=2.0, pseudo_squares=2.0)
    return Interval(interval.mean, max(0.0, interval.low), min(1.0, interval.high), interval.items)


def proportion_interval(correct: float, tasks: int) -> Interval:
    """Return the interval of a share of tasks of which only the counts are known.

    Raises:
        ValueError: There is no task.
    """
    return accuracy_interval([1.0] * round(correct) + [0.0] * (tasks - round(correct)))


def difference_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of differences, each in [-1, 1].

    Half an observation is added at either extreme, and one of no change.

    Raises:
        ValueError: There is no difference.
    """
    return _interval(differences, pseudo_items=2, pseudo_sum=0.0, pseudo_squares=1.0)


@dataclass(frozen=True, slots=True)
class Change:
    """Accuracy on the same tasks before and after learning."""

    before: Interval
    after: Interval
    difference: Interval
    """After minus before, task by task. Pairing takes out what makes a task hard for both,
    so this interval is narrower than the two others suggest."""


def paired_change(before: Mapping[str, float], after: Mapping[str, float]) -> Change:
    """Compare accuracies by task id, over the tasks that both evaluations know.

    A task without an outcome in one of them (the platform failed) is left out of all three.

    Raises:
        ValueError: They have no task in common.
    """
    shared = sorted(before.keys() & after.keys())
    if not shared:
        raise ValueError("the evaluations have no task in common, so nothing can be compared")
    return Change(
        before=accuracy_interval([before[task] for task in shared]),
        after=accuracy_interval([after[task] for task in shared]),
        difference=difference_interval([after[task] - before[task] for task in shared]),
    )


def _interval(
    values: Sequence[float], *, pseudo_items: int, pseudo_sum: float, pseudo_squares: float
) -> Interval:
    if not values:
        raise ValueError("a mean needs at least one value, got none")
    items = len(values)
    total = items + pseudo_items
    centre = (math.fsum(values) + pseudo_sum) / total
    variance = (math.fsum(x * x for x in values) + pseudo_squares) / total - centre * centre
    reach = Z_95 * math.sqrt(max(variance, 0.0) / total)
    return Interval(math.fsum(values) / items, centre - reach, centre + reach, items)
