"""Turns, suspects and who may be alone."""

import asyncio

import pytest

from services.execution.frames import RunOrder
from services.execution.outcome import Outcome
from services.execution.work import Call, Finished, Job, Room, RunName, Work
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus


def job(call: Call, name: str, source: bytes = b"") -> Job:
    order = RunOrder(
        source=source,
        arguments=b"",
        cpu_s=1,
        wall_s=1,
        memory_bytes=1,
        stdout_bytes=1,
        value_bytes=1,
        tenant=call.tenant,
    )
    return Job(call, RunName(name, 0), order, paired=False)


def finished(status: RunStatus) -> Finished:
    return Finished(Outcome(status=status), Determinism.UNKNOWN)


async def names(work: Work, count: int) -> list[str]:
    return [(await work.get()).run.program_id for _ in range(count)]


@pytest.fixture
def work() -> Work:
    return Work(lambda: 100.0)


async def test_jobs_of_one_call_keep_their_order(work: Work) -> None:
    call = Call()
    for name in "abc":
        work.put(job(call, name))

    assert await names(work, 3) == ["a", "b", "c"]


async def test_a_small_call_does_not_wait_behind_a_large_one(work: Work) -> None:
    large, small = Call(), Call()
    for number in range(100):
        work.put(job(large, f"large {number}"))
    assert await names(work, 3) == ["large 0", "large 1", "large 2"]

    work.put(job(small, "small 0"))
    work.put(job(small, "small 1"))

    assert (await names(work, 5)).index("small 1") <= 4


async def test_a_program_that_timed_out_comes_late_next_time(work: Work) -> None:
    call = Call()
    first = job(call, "loop", b"while True: pass")
    work.put(first)
    work.finish(await work.get(), finished(RunStatus.TIMEOUT))

    work.put(job(call, "loop again", b"while True: pass"))
    work.put(job(call, "other"))

    assert await names(work, 2) == ["other", "loop again"]


async def test_another_s_program_is_not_late_for_that(work: Work) -> None:
    work.put(job(Call(), "loop", b"while n: pass"))
    work.finish(await work.get(), finished(RunStatus.TIMEOUT))

    work.put(job(Call(b"somebody else's!"), "the same", b"while n: pass"))
    work.put(job(Call(), "other"))

    assert await names(work, 2) == ["the same", "other"]


async def test_late_is_not_never(work: Work) -> None:
    call = Call()
    work.put(job(call, "x", b"loop"))
    work.finish(await work.get(), finished(RunStatus.TIMEOUT))
    work.put(job(call, "loop", b"loop"))

    seen: list[str] = []
    for number in range(6_000):
        work.put(job(Call(), str(number)))
        seen += await names(work, 1)
        if seen[-1] == "loop":
            break

    assert "loop" in seen


async def test_what_comes_back_goes_first(work: Work) -> None:
    call = Call()
    work.put(job(call, "lost"))
    lost = await work.get()
    work.put(job(call, "next"))

    work.put_back(lost)

    assert await names(work, 2) == ["lost", "next"]


async def test_pending_counts_what_waits_and_what_runs(work: Work) -> None:
    call = Call()
    for name in "abc":
        work.put(job(call, name))
    work.pending = 3
    running = await work.get()

    work.finish(running, finished(RunStatus.OK))
    assert work.pending == 2
    work.fail_waiting("no sandbox works")

    assert work.pending == 0
    assert call.finished.qsize() == 3
    assert work.finished_s == 100.0


async def test_what_was_not_executed_is_no_sign_of_life() -> None:
    now_s = 1.0
    work = Work(lambda: now_s)
    work.put(job(Call(), "a"))
    now_s = 2.0

    work.fail_waiting("why")

    assert work.finished_s == 1.0


async def test_a_cancelled_wait_takes_nothing(work: Work) -> None:
    getter = asyncio.create_task(work.get())
    await asyncio.sleep(0)
    getter.cancel()
    await asyncio.gather(getter, return_exceptions=True)

    work.put(job(Call(), "a"))

    assert await names(work, 1) == ["a"]


async def test_who_is_alone_waits_for_the_others_and_they_for_him() -> None:
    room = Room()
    steps: list[str] = []

    async def visit(name: str, *, alone: bool) -> None:
        await room.enter(alone=alone)
        steps.append(f"{name} in")
        await asyncio.sleep(0)
        steps.append(f"{name} out")
        await room.leave()

    await room.enter(alone=False)
    tasks = [
        asyncio.create_task(visit("alone", alone=True)),
        asyncio.create_task(visit("other", alone=False)),
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    assert steps == []
    await room.leave()
    await asyncio.gather(*tasks)

    assert steps == ["alone in", "alone out", "other in", "other out"]
