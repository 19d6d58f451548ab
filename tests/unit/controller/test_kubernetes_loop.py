"""Leading, keeping up and writing back, against an API server in memory with faults."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from services.controller.platforms.kubernetes import mirror as mirroring
from services.controller.platforms.kubernetes.api import LEASES, RUNS, Api
from services.controller.platforms.kubernetes.leader import GIVE_UP_S, Leadership, LostError
from services.controller.platforms.kubernetes.mirror import Mirror
from services.controller.platforms.kubernetes.store import ObjectStore
from services.controller.store import RunStore, StoredRun
from tests.unit.controller.fake_api import FakeApi
from zeroloop.core.runs import EventType, Phase, Run, RunEvent, RunSpec, RunStatus
from zeroloop.errors import AlreadyExistsError, NotFoundError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def store(api: FakeApi, tmp_path: Path) -> AsyncGenerator[ObjectStore]:
    made = ObjectStore(cast("Api", api), RunStore(tmp_path))
    yield made
    await made.close()


def run_object(name: str = "r", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"model": {"uri": "m"}, "preset": "seedling", "rounds": 3, **spec},
    }


def stored(name: str = "r") -> StoredRun:
    spec = RunSpec(model="m", preset="seedling", rounds=3)
    return StoredRun(Run(name=name, spec=spec, status=RunStatus(), created_at=NOW), "req")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  it stands for many things that happen
            await asyncio.sleep(0.01)


# ---- the lease


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


def candidate(api: FakeApi, name: str, clock: Clock) -> Leadership:
    return Leadership(cast("Api", api), "lease", name, clock=clock, sleep=clock.sleep)


async def test_one_of_two_leads_and_the_other_takes_over_when_the_lease_runs_out(
    api: FakeApi,
) -> None:
    clock = Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    await first.acquire()
    await second.acquire()
    assert clock.now_s > 15, "not before the lease has run out"
    lease = await api.get(LEASES, "lease")
    assert lease["spec"]["holderIdentity"] == "b"
    assert lease["spec"]["leaseTransitions"] == 2
    with pytest.raises(LostError, match="another controller holds the lease: b"):
        await first.keep()


async def test_a_lease_that_is_given_back_is_free_at_once(api: FakeApi) -> None:
    clock = Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    await first.acquire()
    await first.release()
    await second.acquire()
    assert clock.now_s == 0


async def test_who_cannot_renew_stops_before_another_may_begin(api: FakeApi) -> None:
    clock = Clock()
    first = candidate(api, "a", clock)
    await first.acquire()
    api.down = True
    with pytest.raises(LostError, match="could not be renewed"):
        await first.keep()
    assert GIVE_UP_S <= clock.now_s < 15


async def test_an_outage_shorter_than_that_is_survived(api: FakeApi) -> None:
    clock = Clock()
    first = candidate(api, "a", clock)
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    api.failures = 2
    await until(lambda: clock.now_s >= 60)
    assert not keeping.done()
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


# ---- the mirror


async def following(api: FakeApi, store: ObjectStore) -> tuple[asyncio.Task[None], list[str]]:
    changed: list[str] = []
    mirror = Mirror(cast("Api", api), store, changed.append)
    task = asyncio.create_task(mirror.run())
    await mirror.filled.wait()
    return task, changed


async def test_the_mirror_follows_and_survives_expiry_and_outage(
    api: FakeApi, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "PAUSE_MIN_S", 0.01)
    api.put(RUNS, run_object("a"), "ADDED")
    task, changed = await following(api, store)
    assert changed == ["a"]
    api.put(RUNS, run_object("b"), "ADDED")
    await until(lambda: "b" in changed)

    api.down = True
    api.cut()
    await asyncio.sleep(0.05)
    api.remove(RUNS, "a")
    api.put(RUNS, run_object("c"), "ADDED")
    changed.clear()
    api.down = False
    await until(lambda: {"a", "c"} <= set(changed))
    assert store.known == {"b", "c"}, "what was deleted while nobody watched is gone"

    api.expired = True
    api.down = True
    api.cut()
    await asyncio.sleep(0.02)
    api.down = False
    listed = api.listed
    api.put(RUNS, run_object("d"), "ADDED")
    await until(lambda: "d" in store.known)
    assert api.listed - listed < 10, "no hot loop"
    task.cancel()


async def test_an_older_state_does_not_replace_a_newer_one(
    api: FakeApi, store: ObjectStore
) -> None:
    old = api.put(RUNS, run_object(), "ADDED")
    new = api.put(RUNS, run_object(suspend=True), "MODIFIED")
    store.seen(new)
    store.seen(old)
    assert store.load("r").run.spec.suspend


# ---- the store


async def test_a_created_run_is_an_object_and_a_second_one_is_refused(
    api: FakeApi, store: ObjectStore
) -> None:
    api.put(RUNS, run_object("taken"), "ADDED")
    store.save(stored())
    await store.settle("r")
    assert api.objects["selfplayruns", "r"]["spec"]["model"] == {"uri": "m"}
    store.save(stored("taken"))
    with pytest.raises(AlreadyExistsError):
        await store.settle("taken")


async def test_an_unchanged_run_is_not_written(api: FakeApi, store: ObjectStore) -> None:
    store.save(stored())
    await store.settle("r")
    await until(lambda: "status" in api.objects["selfplayruns", "r"])
    await asyncio.sleep(0.05)
    before = len(api.writes)
    store.save(store.load("r"))
    await store.settle("r")
    assert len(api.writes) == before


async def test_a_status_does_not_take_back_what_a_person_changed(
    api: FakeApi, store: ObjectStore
) -> None:
    store.seen(api.put(RUNS, run_object(), "ADDED"))
    before = store.load("r")
    store.seen(await api.merge(RUNS, "r", {"spec": {"suspend": True}}))
    # The one who plays does not know of it yet.
    playing = replace(before.run.status, phase=Phase.PLAYING)
    store.save(replace(before, run=replace(before.run, status=playing)))
    await store.settle("r")
    item = api.objects["selfplayruns", "r"]
    assert item["spec"]["suspend"] is True
    assert item["status"]["phase"] == "Playing"
    assert store.load("r").run.spec.suspend


async def test_a_change_of_ours_arrives_even_after_an_outage(
    api: FakeApi, store: ObjectStore
) -> None:
    store.seen(api.put(RUNS, run_object(), "ADDED"))
    before = store.load("r")
    api.down = True
    changed = replace(before.run, spec=replace(before.run.spec, suspend=True))
    store.save(replace(before, run=changed))
    assert store.load("r").run.spec.suspend, "readers see it at once"
    api.down = False
    await store.settle("r")
    assert api.objects["selfplayruns", "r"]["spec"]["suspend"] is True


async def test_a_deleted_run_is_no_more(api: FakeApi, store: ObjectStore) -> None:
    store.seen(api.put(RUNS, run_object(), "ADDED"))
    before = store.load("r")
    api.remove(RUNS, "r")
    store.save(replace(before, run=replace(before.run, status=RunStatus(phase=Phase.PLAYING))))
    await store.settle("r")
    with pytest.raises(NotFoundError):
        store.load("r")


async def test_what_matters_becomes_an_event_of_the_cluster(
    api: FakeApi, store: ObjectStore
) -> None:
    store.seen(api.put(RUNS, run_object(), "ADDED"))
    telling = asyncio.create_task(store.tell_events())
    for kind in (EventType.STAGE, EventType.ROUND):
        store.append_event("r", RunEvent(at=NOW, type=kind, message=kind.value))
    await until(lambda: any(plural == "events" for _, plural, _ in api.writes))
    telling.cancel()
    told = [item for (plural, _), item in api.objects.items() if plural == "events"]
    assert [event["message"] for event in told] == ["round"]
    assert len(store.events("r")) == 2
