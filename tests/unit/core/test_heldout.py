"""The paired difference and its interval, against hand values, an exact test and the bootstrap."""

import random
from math import comb

import pytest

from zeroloop.core.heldout import (
    accuracy_interval,
    difference_interval,
    paired_change,
    proportion_interval,
)


def test_the_interval_of_a_proportion_is_that_of_agresti_and_coull() -> None:
    interval = accuracy_interval([1.0] * 60 + [0.0] * 240)

    # p = 62 / 304; 1.96 sqrt(p (1 - p) / 304)
    assert interval.mean == pytest.approx(0.2)
    assert (interval.low, interval.high) == pytest.approx((0.15864, 0.24926), abs=1e-4)


def test_an_accuracy_of_zero_is_not_certain() -> None:
    interval = accuracy_interval([0.0] * 60)

    assert (interval.mean, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(0.0743, abs=1e-3)


def test_counts_give_the_same_interval_as_their_tasks() -> None:
    assert proportion_interval(60, 300) == accuracy_interval([1.0] * 60 + [0.0] * 240)


def test_the_difference_is_taken_task_by_task() -> None:
    before = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    after = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0}

    change = paired_change(before, after)

    assert change.difference.mean == 0.25
    # Differences 1, 0, 0, 0 and the pseudo-observations: mean 1 / 6, squares 2 / 6.
    assert change.difference.low == pytest.approx(1 / 6 - 1.96 * (11 / 36 / 6) ** 0.5, abs=1e-3)
    assert not change.difference.excludes_zero


def test_pairing_narrows_the_interval_when_hard_tasks_stay_hard() -> None:
    before = {str(i): float(i < 60) for i in range(300)}
    after = {str(i): float(i < 75) for i in range(300)}

    change = paired_change(before, after)

    assert change.difference.mean == pytest.approx(0.05)
    assert change.difference.half_width < change.before.half_width
    assert change.difference.excludes_zero


@pytest.mark.parametrize("lost", [0, 1, 3, 10, 40])
def test_few_changed_tasks_are_not_oversold(lost: int) -> None:
    """What the interval calls settled is settled, or nearly so, by the exact test of signs."""
    for gained in range(lost, lost + 60):
        differences = [1.0] * gained + [-1.0] * lost + [0.0] * (300 - gained - lost)
        changed = gained + lost
        tail = sum(comb(changed, k) for k in range(gained, changed + 1)) / 2**changed
        if difference_interval(differences).excludes_zero:
            # Exact tests are conservative, so a little above 5 % is the right side of it.
            assert min(1.0, 2 * tail) < 0.08
            return
    pytest.fail("so many gains must be settled")


def test_four_gains_of_three_hundred_are_not_settled() -> None:
    interval = difference_interval([1.0] * 4 + [0.0] * 296)

    assert interval.mean == pytest.approx(0.0133, abs=1e-4)
    assert not interval.excludes_zero


def test_nothing_changed_is_not_certain_either() -> None:
    interval = difference_interval([0.0] * 300)

    assert interval.low < 0 < interval.high


def test_a_task_without_an_outcome_is_left_out_of_both() -> None:
    change = paired_change({"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 1.0})

    assert (change.before.items, change.after.mean, change.difference.mean) == (1, 1.0, 1.0)
    assert not change.difference.excludes_zero


def test_nothing_in_common_is_an_error_not_zero() -> None:
    with pytest.raises(ValueError, match="no task in common"):
        paired_change({"a": 1.0}, {"b": 1.0})


def test_no_value_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        accuracy_interval([])


def test_the_interval_agrees_with_the_bootstrap_at_300_tasks() -> None:
    dice = random.Random(5)
    before = {str(i): float(dice.random() < 0.2) for i in range(300)}
    after = {task: float(dice.random() < 0.15 + 0.4 * value) for task, value in before.items()}
    differences = [after[task] - before[task] for task in before]
    means = sorted(sum(dice.choices(differences, k=300)) / 300 for _ in range(4000))

    interval = paired_change(before, after).difference

    assert interval.low == pytest.approx(means[100], abs=0.006)
    assert interval.high == pytest.approx(means[-101], abs=0.006)
