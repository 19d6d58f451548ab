"""Which tasks are read: strategies as functions of insertion steps and a seed."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from zeroloop.core.sampling import (
    count_new,
    draw_program,
    draw_references,
    draw_solver_tasks,
    draw_until,
    reservoir,
)

SEEDS = [0] * 256


@pytest.mark.parametrize("strategy", ["uniform", "step"])
def test_references_are_six_different_tasks(strategy: str) -> None:
    drawn = draw_references([0] * 10 + [5] * 10, 6, Random(1), strategy)
    assert len(set(drawn)) == 6
    assert set(drawn) <= set(range(20))


@pytest.mark.parametrize("strategy", ["uniform", "step"])
def test_a_small_buffer_gives_all_it_has(strategy: str) -> None:
    assert sorted(draw_references([0, 0], 6, Random(1), strategy)) == [0, 1]


def test_uniform_references_are_uniform() -> None:
    rng = Random(7)
    counts = Counter(i for _ in range(3000) for i in draw_references([0, 0, 9, 9], 1, rng))
    assert all(count == pytest.approx(750, abs=100) for count in counts.values())


def test_step_references_weigh_insertion_step_plus_one() -> None:
    rng = Random(7)
    counts = Counter(
        i for _ in range(4000) for i in draw_references([0, 2], 1, rng, strategy="step")
    )
    assert counts[1] / counts[0] == pytest.approx(3, rel=0.15)


def test_a_program_is_drawn_with_multiplicity_over_both_buffers() -> None:
    rng = Random(7)
    counts = Counter(draw_program([1, 3], rng) for _ in range(4000))
    assert set(counts) == {(0, 0), (1, 0), (1, 1), (1, 2)}
    assert all(count == pytest.approx(1000, abs=120) for count in counts.values())


def test_a_program_of_empty_buffers_is_an_error() -> None:
    with pytest.raises(ValueError, match="all buffers are empty"):
        draw_program([0, 0], Random(1))


@pytest.mark.parametrize(
    ("steps", "step", "window", "new"),
    [
        pytest.param(SEEDS, 1, 1, 256, id="at step 1 all seeds are new"),
        pytest.param([0, 0, 1, 1, 1], 2, 1, 3, id="at step 2 those of step 1"),
        pytest.param([0, 1, 1, 2], 3, 1, 1, id="at step 3 those of step 2 alone"),
        pytest.param([0, 1, 1, 2], 3, 2, 3, id="a wider window"),
        pytest.param([0, 1, 2, 2], 2, 0, 2, id="those of the same step, as the paper says"),
    ],
)
def test_what_counts_as_new(steps: list[int], step: int, window: int, new: int) -> None:
    assert count_new(steps, step, window) == new


def test_max_new_takes_the_step_before_and_tops_up_from_the_whole_buffer() -> None:
    steps = SEEDS + [1] * 30
    drawn = draw_solver_tasks(steps, 64, Random(3), new=30)
    assert len(drawn) == 64
    assert set(range(256, 286)) <= set(drawn[:30])
    assert len(set(drawn[30:])) == 34


def test_max_new_with_enough_new_takes_nothing_old() -> None:
    drawn = draw_solver_tasks(SEEDS + [1] * 64, 64, Random(3), new=64)
    assert sorted(drawn) == list(range(256, 320))


def test_max_new_at_step_1_draws_from_the_seeds_without_repetition() -> None:
    drawn = draw_solver_tasks(SEEDS, 64, Random(3), new=256)
    assert len(set(drawn)) == 64


def test_half_new_takes_at_most_half() -> None:
    drawn = draw_solver_tasks(SEEDS + [1] * 60, 64, Random(3), new=60, strategy="half_new")
    assert all(index >= 256 for index in drawn[:32])
    assert len(set(drawn[:32])) == len(set(drawn[32:])) == 32
    assert any(index < 256 for index in drawn[32:])


def test_uniform_total_ignores_what_is_new() -> None:
    drawn = draw_solver_tasks(SEEDS + [1] * 9, 64, Random(3), new=9, strategy="uniform_total")
    assert len(set(drawn)) == 64


def test_step_draws_by_insertion_step_and_never_seeds() -> None:
    drawn = draw_solver_tasks(SEEDS + [1] * 3, 64, Random(3), new=3, strategy="step")
    assert len(drawn) == 64
    assert set(drawn) <= {256, 257, 258}
    assert len(draw_solver_tasks(SEEDS, 64, Random(3), new=0, strategy="step")) == 64


def test_a_shortfall_is_filled_from_the_accepted() -> None:
    drawn = draw_solver_tasks([0] * 5, 8, Random(3), new=5, is_eligible=lambda i: i in (1, 3))
    assert len(drawn) == 8
    assert set(drawn) == {1, 3}


def test_if_nothing_drawn_fits_the_rest_of_the_buffer_is_tried() -> None:
    drawn = draw_solver_tasks(SEEDS + [1] * 4, 4, Random(3), new=4, is_eligible=lambda i: i == 7)
    assert drawn == [7] * 4


@pytest.mark.parametrize("strategy", ["max_new", "half_new", "uniform_total", "step"])
def test_nothing_to_draw_is_nothing(strategy: str) -> None:
    assert draw_solver_tasks([], 64, Random(3), new=0, strategy=strategy) == []
    assert draw_solver_tasks([1], 64, Random(3), new=1, is_eligible=lambda _: False) == []


def test_the_same_seed_draws_the_same() -> None:
    assert draw_solver_tasks(SEEDS, 9, Random(5), new=256) == draw_solver_tasks(
        SEEDS, 9, Random(5), new=256
    )


def test_resampling_is_bounded() -> None:
    draws = iter([[1], [2], [3]])
    assert draw_until(lambda: next(draws), lambda drawn: drawn == [2], 3) == [2]
    assert draw_until(lambda: [1], lambda _: False, 3) is None


def test_a_reservoir_holds_everything_until_it_is_full() -> None:
    assert reservoir(3, 8, Random(1)) == {0, 1, 2}
    assert reservoir(8, 8, Random(1)) == set(range(8))


def test_a_reservoir_keeps_each_task_with_the_same_chance() -> None:
    counts = Counter(i for seed in range(6000) for i in reservoir(12, 4, Random(seed)))
    assert set(counts) == set(range(12))
    assert all(count == pytest.approx(2000, abs=150) for count in counts.values())


def test_a_reservoir_keeps_each_pair_with_the_same_chance() -> None:
    pairs = Counter(tuple(sorted(reservoir(5, 2, Random(seed)))) for seed in range(10_000))
    assert len(pairs) == 10
    assert all(count == pytest.approx(1000, abs=120) for count in pairs.values())


def test_what_leaves_a_growing_reservoir_never_comes_back() -> None:
    held = [reservoir(size, 5, Random(9)) for size in range(40)]
    for size, (before, after) in enumerate(pairwise(held)):
        assert after - before <= {size}
        assert len(after) == min(size + 1, 5)


def test_the_same_seed_keeps_the_same() -> None:
    assert reservoir(20, 4, Random(7)) == {6, 13, 16, 17}
