"""The paired difference and its interval, against hand-made values and the bootstrap."""

import random

import pytest

from zeroloop.core.heldout import mean_interval, paired_change


def test_the_interval_of_a_proportion_is_the_textbook_one() -> None:
    interval = mean_interval([1.0] * 60 + [0.0] * 240)

    # sqrt(p (1 - p) / (n - 1)) * 1.96 with p = 0.2, n = 300
    assert interval.mean == pytest.approx(0.2)
    assert interval.half_width == pytest.approx(0.04534, abs=1e-5)
    assert (interval.low, interval.high) == pytest.approx((0.15466, 0.24534), abs=1e-5)


def test_the_difference_is_taken_task_by_task() -> None:
    before = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    after = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0}

    change = paired_change(before, after)

    assert change.difference.mean == 0.25
    # Differences 1, 0, 0, 0: variance 0.25, standard error 0.25.
    assert change.difference.half_width == pytest.approx(0.49, abs=1e-3)
    assert not change.difference.excludes_zero


def test_pairing_narrows_the_interval_when_hard_tasks_stay_hard() -> None:
    before = {str(i): float(i < 60) for i in range(300)}
    after = {str(i): float(i < 75) for i in range(300)}

    change = paired_change(before, after)

    assert change.difference.mean == pytest.approx(0.05)
    assert change.difference.half_width < change.before.half_width
    assert change.difference.excludes_zero


def test_a_task_without_an_outcome_is_left_out_of_both() -> None:
    change = paired_change({"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 1.0})

    assert (change.before.items, change.after.mean, change.difference.mean) == (1, 1.0, 1.0)
    assert not change.difference.excludes_zero


def test_nothing_in_common_is_an_error_not_zero() -> None:
    with pytest.raises(ValueError, match="no task in common"):
        paired_change({"a": 1.0}, {"b": 1.0})


def test_no_value_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval([])


def test_the_interval_agrees_with_the_bootstrap_at_300_tasks() -> None:
    dice = random.Random(5)
    before = {str(i): float(dice.random() < 0.2) for i in range(300)}
    after = {task: float(dice.random() < 0.15 + 0.4 * value) for task, value in before.items()}
    differences = [after[task] - before[task] for task in before]
    means = sorted(sum(dice.choices(differences, k=300)) / 300 for _ in range(4000))

    interval = paired_change(before, after).difference

    assert interval.low == pytest.approx(means[100], abs=0.006)
    assert interval.high == pytest.approx(means[-101], abs=0.006)
