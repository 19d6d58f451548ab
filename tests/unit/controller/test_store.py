"""Runs on disk: whole or not at all, in order, and readable after a crash."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.controller.store import RunStore, StoredRun, check_name
from zeroloop.core.runs import (
    Condition,
    ConditionType,
    EventType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
)
from zeroloop.errors import (
    CorruptDataError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = Run(
    name="r1",
    spec=RunSpec(model="m", rounds=3, seed=7, settings={"temperature": 0.5}),
    status=RunStatus(
        phase=Phase.PLAYING,
        conditions=(
            Condition(
                type=ConditionType.ACCEPTED, status=True, reason="SpecValid", changed_at=NOON
            ),
        ),
        round=2,
        started_at=NOON,
    ),
    created_at=NOON,
    effective_settings={"kinds": ["deduction"], "clip": 0.2},
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def test_a_run_is_read_back_as_it_was_written(store: RunStore) -> None:
    store.save(StoredRun(RUN, "request"))

    assert store.load("r1") == StoredRun(RUN, "request")


def test_runs_are_listed_newest_first_and_the_newest_is_also_latest(
    store: RunStore, tmp_path: Path
) -> None:
    for hour, name in enumerate(["b", "a", "c"]):
        run = replace(RUN, name=name, created_at=NOON + timedelta(hours=hour))
        store.save(StoredRun(run, ""))

    assert store.names() == ["c", "a", "b"]
    assert (tmp_path / "latest").resolve() == tmp_path / "c"


def test_saving_again_leaves_latest_where_it_is(store: RunStore, tmp_path: Path) -> None:
    store.save(StoredRun(RUN, ""))
    store.save(StoredRun(replace(RUN, name="r2"), ""))
    store.save(StoredRun(replace(RUN, spec=replace(RUN.spec, rounds=9)), ""))

    assert (tmp_path / "latest").resolve() == tmp_path / "r2"
    assert store.load("r1").run.spec.rounds == 9


def test_events_are_kept_in_order_and_half_a_line_is_left_out(
    store: RunStore, tmp_path: Path
) -> None:
    store.save(StoredRun(RUN, ""))
    events = [
        RunEvent(at=NOON, type=EventType.STAGE, round=i, stage="solve", figures={"tokens": 1.5})
        for i in range(3)
    ]
    for event in events:
        store.append_event("r1", event)
    with (tmp_path / "r1" / "events.jsonl").open("a") as file:
        file.write('{"at": "2026')

    assert store.events("r1") == events


def test_an_unknown_run_is_not_found(store: RunStore) -> None:
    with pytest.raises(NotFoundError, match="no run 'nobody'"):
        store.load("nobody")


def test_a_damaged_file_is_named(store: RunStore, tmp_path: Path) -> None:
    store.save(StoredRun(RUN, ""))
    (tmp_path / "r1" / "run.json").write_text("{}")

    with pytest.raises(CorruptDataError, match=r"run\.json is damaged"):
        store.load("r1")


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "../x", "latest", "a" * 41])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="lower-case letters"):
        check_name(name)


def test_a_disk_that_takes_nothing_leaves_what_was_there(store: RunStore, tmp_path: Path) -> None:
    store.save(StoredRun(RUN, ""))
    (tmp_path / "r1" / f".run.json.{os.getpid()}").mkdir()

    with pytest.raises(UnavailableError, match=r"cannot write .*run\.json"):
        store.save(StoredRun(replace(RUN, spec=replace(RUN.spec, rounds=9)), ""))

    assert store.load("r1").run.spec.rounds == 3
