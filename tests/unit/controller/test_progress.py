"""Rates, the step that is played, and the time that is left."""

import pytest

from services.controller.progress import Pace, Progress
from services.controller.rounds.meter import Meter
from services.controller.steps import Step
from zeroloop.core import figures


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_time_left_follows_from_the_rounds_before_and_the_evaluation() -> None:
    clock = Clock()
    pace = Pace(clock, rounds=10)
    assert pace.remaining_s() is None
    for index in (1, 2):
        pace.begin(index)
        clock.now_s += 30
        assert pace.end() == 30
    pace.evaluation_s = 20
    pace.begin(3)
    clock.now_s += 10

    assert pace.remaining_s() == pytest.approx(20 + 7 * 30 + 20)


def test_a_round_that_began_before_this_process_is_timed_from_its_start() -> None:
    clock = Clock()
    pace = Pace(clock, rounds=10)
    clock.now_s += 3
    assert pace.end() == 3


def test_beginning_the_same_round_again_does_not_start_its_clock_anew() -> None:
    clock = Clock()
    pace = Pace(clock, rounds=2)
    pace.begin(1)
    clock.now_s += 5
    pace.begin(1)
    clock.now_s += 5

    assert pace.end() == 10


def test_the_step_shown_is_the_first_that_is_not_finished() -> None:
    clock = Clock()
    meter = Meter(clock)
    for step, done, total in (
        (Step.PROPOSE, 48, 48),
        (Step.VALIDATE, 40, 48),
        (Step.ESTIMATE, 10, 99),
    ):
        tally = meter.restart(step)
        tally.done, tally.total = done, total

    step, found = Progress(meter).sample()

    assert step is Step.VALIDATE
    assert (found[figures.DONE], found[figures.TOTAL]) == (40, 48)


def test_rates_are_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(clock)
    tally = meter.restart(Step.PROPOSE)
    progress = Progress(meter)
    found: dict[str, float] = {}
    for _ in range(30):
        clock.now_s += 1
        tally.tokens += 1000
        tally.count_runs({"ok": 20})
        _, found = progress.sample()

    assert found[figures.TOKENS_PER_S] == pytest.approx(1000)
    assert found[figures.EXECUTIONS_PER_S] == pytest.approx(20)


def test_overlapping_work_counts_once_and_the_rest_is_idle() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.lap()
    with meter.engine():
        clock.now_s += 4
        with meter.sandbox():
            clock.now_s += 3
    clock.now_s += 2

    assert meter.lap() == (9.0, 2.0)
    assert (meter.engine_s, meter.sandbox_s) == (7.0, 3.0)
