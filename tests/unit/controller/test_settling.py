"""What a run's status says of its trainer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.controller.book import RunBook
from services.controller.decide import Observed, Services, Spec, Trainer
from services.controller.settling import report_seen
from services.controller.steps import PLAY_STEPS
from services.controller.store import RunStore, StoredRun
from zeroloop.core.runs import Condition, ConditionType, Run, RunSpec, RunStatus

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLAYED = Observed(
    services=Services.READY,
    trainer=Trainer.ABSENT,
    trainer_failures=0,
    round_index=2,
    steps_missing=PLAY_STEPS,
    trained=False,
    served=(1,),
    rejected=-1,
    evaluated=False,
)


class Clock:
    """Every look is a second later."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def seen(folder: Path, spec: Spec, worlds: Sequence[Observed]) -> tuple[RunBook, list[Condition]]:
    """What `TrainingReady` says after each look."""
    wanted = RunSpec(model="m", preset="seedling", rounds=spec.rounds)
    run = Run(name="r", spec=wanted, status=RunStatus(), created_at=NOW)
    (folder / run.name).mkdir()
    book = RunBook(RunStore(folder), StoredRun(run, ""), Clock())
    found: list[Condition] = []
    for observed in worlds:
        report_seen(book, observed, spec, 1)
        condition = book.run.status.condition(ConditionType.TRAINING_READY)
        assert condition is not None
        found.append(condition)
    return book, found


def test_between_segments_a_run_rests_and_nothing_flaps(tmp_path: Path) -> None:
    segment = [PLAYED, replace(PLAYED, steps_missing=(), trainer=Trainer.RUNNING), PLAYED]

    book, found = seen(tmp_path, Spec(rounds=5, rounds_per_job=1), segment * 3)

    assert [condition.reason for condition in found[:3]] == ["Resting", "Running", "Resting"]
    assert "when a batch waits" in found[0].message
    assert all(condition.status for condition in found)
    assert len({condition.changed_at for condition in found}) == 1, "status has never changed"
    assert book.run.status.condition(ConditionType.DEGRADED) is None
    assert [event.message for event in book.events] == ["playing"]


def test_without_segments_a_trainer_that_is_not_there_is_missed(tmp_path: Path) -> None:
    _, (condition,) = seen(tmp_path, Spec(rounds=5), [PLAYED])

    assert (condition.status, condition.reason) == (False, "Absent")


def test_a_segment_that_failed_or_has_no_node_is_no_rest(tmp_path: Path) -> None:
    failed = replace(PLAYED, trainer=Trainer.FAILED)
    waits = replace(PLAYED, trainer=Trainer.RUNNING, trainer_waits="no GPU is free")

    _, found = seen(tmp_path, Spec(rounds=5, rounds_per_job=1), [failed, waits])

    assert [condition.status for condition in found] == [False, False]
    assert [condition.reason for condition in found] == ["Failed", "Unschedulable"]
    assert found[1].message == "no GPU is free"
