"""What gauges say of several runs together."""

from collections.abc import Iterable

import pytest
from opentelemetry.metrics import Observation

from services._server import semconv
from services.controller import metrics
from services.controller.decide import Observed, Services, Trainer
from services.controller.metrics import Playing
from zeroloop.core import figures
from zeroloop.core.runs import Phase


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def playing(*names: str) -> tuple[Playing, Clock]:
    clock = Clock()
    runs = Playing(clock)
    for name in names:
        runs.entered(name, Phase.PLAYING)
    return runs, clock


def values(observations: Iterable[Observation], label: str = "") -> dict[str, float]:
    return {str((one.attributes or {}).get(label, "")): one.value for one in observations}


def looked(*served: int, round_index: int = 1, trained: bool = False, failures: int = 0):
    return Observed(
        services=Services.READY,
        trainer=Trainer.RUNNING,
        trainer_failures=failures,
        round_index=round_index,
        steps_missing=(),
        trained=trained,
        served=served,
        rejected=-1,
        evaluated=False,
    )


def test_runs_are_counted_by_phase_until_they_are_left() -> None:
    runs, _ = playing("a", "b")
    runs.entered("c", Phase.PENDING)
    runs.entered("b", Phase.SUSPENDED)

    assert values(runs.phases(), semconv.PHASE) == {"pending": 1, "starting": 0, "playing": 1}


def test_the_age_of_a_round_is_that_of_the_oldest() -> None:
    runs, clock = playing("slow")
    clock.now_s += 50
    runs.entered("quick", Phase.PLAYING)
    clock.now_s += 10
    runs.advanced("quick", {}, round_over=True)

    assert values(runs.round_age()) == {"": 60}
    runs.left("slow")
    assert values(runs.round_age()) == {"": 0}


def test_a_stage_is_progress_but_ends_no_round() -> None:
    runs, clock = playing("a")
    clock.now_s += 30
    runs.advanced("a", {}, round_over=False)
    clock.now_s += 5

    assert values(runs.progress_age()) == {"": 5}
    assert values(runs.round_age()) == {"": 35}


def test_waiting_for_another_run_is_not_being_stuck() -> None:
    runs, clock = playing()
    runs.entered("a", Phase.PENDING)
    clock.now_s += 1000
    assert values(runs.progress_age()) == {"": 0}

    runs.entered("a", Phase.STARTING)
    clock.now_s += 3
    assert values(runs.progress_age()) == {"": 3}


def test_an_engine_that_starts_again_and_again_is_no_progress() -> None:
    runs, clock = playing("a")
    for phase in (Phase.STARTING, Phase.PLAYING) * 3:
        clock.now_s += 10
        runs.entered("a", phase)

    assert values(runs.progress_age()) == {"": 60}


def test_replicas_add_up() -> None:
    runs, _ = playing("a", "b")
    runs.seen("a", looked(3, 3), 4)
    runs.seen("b", looked(), 1)

    assert values(runs.replicas(), semconv.STATE) == {"wanted": 5, "serving": 2}


def test_the_lag_is_that_of_the_replica_furthest_behind() -> None:
    runs, _ = playing("a", "b")
    runs.seen("a", looked(7, 7, round_index=8), 2)
    assert values(runs.lag()) == {"": 0}

    runs.seen("a", looked(7, 7, round_index=8, trained=True), 2)
    assert values(runs.lag()) == {"": 1}
    runs.seen("b", looked(9, 2, round_index=3, trained=True), 2)
    assert values(runs.lag()) == {"": 7}


def test_failures_to_train_are_those_of_the_worst_run() -> None:
    runs, _ = playing("a", "b")
    runs.seen("a", looked(failures=3), 1)
    runs.seen("b", looked(), 1)

    assert values(runs.train_failures()) == {"": 3}


def test_a_figure_is_the_mean_over_the_runs_by_kind() -> None:
    runs, _ = playing("a", "b", "new")
    found = {"solver_accuracy": 0.3, "solver_accuracy.deduction": 0.5}
    runs.advanced("a", found, round_over=True)
    runs.advanced("b", {"solver_accuracy.deduction": 1.0, "loss": 2.0}, round_over=True)

    accuracy = values(runs.figure(figures.SOLVER_ACCURACY), semconv.TASK_TYPE)
    assert accuracy == {"deduction": 0.75}
    assert values(runs.figure(figures.LOSS), semconv.TASK_TYPE) == {"": 2.0}
    assert values(runs.figure(figures.ENTROPY)) == {}


def test_what_is_not_played_is_not_noted() -> None:
    runs, _ = playing()
    runs.seen("a", looked(1), 1)
    runs.advanced("a", {"loss": 1.0}, round_over=True)

    assert values(runs.replicas(), semconv.STATE) == {"wanted": 0, "serving": 0}


class Counted:
    """A counter that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def add(self, amount: float, labels: dict[str, str] | None = None) -> None:
        self.told.append(amount)

    def record(self, amount: float) -> None:
        self.told.append(amount)


def test_idle_time_begins_with_the_time_of_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is divided by the other, and a histogram does not begin at 0."""
    idle, lasted = Counted(), Counted()
    monkeypatch.setattr(metrics, "_round_idle", idle)
    monkeypatch.setattr(metrics, "_round_duration", lasted)

    metrics.leads(leading=False)
    metrics.leads(leading=True)
    assert idle.told == lasted.told == []

    metrics.round_ended("a", {figures.WALL_S: 9.0, figures.IDLE_S: 2.0}, seeds=False)
    assert (idle.told, lasted.told) == ([2.0], [9.0])


def test_the_round_that_seeds_the_buffer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of five rounds was counted as six, and their mean time had the seed's in it."""
    rounds, lasted = Counted(), Counted()
    monkeypatch.setattr(metrics, "_rounds", rounds)
    monkeypatch.setattr(metrics, "_round_duration", lasted)

    metrics.round_ended("a", {figures.WALL_S: 3.0, figures.IDLE_S: 0.0}, seeds=True)
    assert rounds.told == lasted.told == []

    metrics.round_ended("a", {figures.WALL_S: 9.0, figures.IDLE_S: 0.0}, seeds=False)
    assert (rounds.told, lasted.told) == ([1], [9.0])
