"""The gate and the bounded stream, under cancellation and failure."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from services.inference.gate import Gate
from services.inference.streaming import as_they_finish
from zeroloop.errors import OverloadedError


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_closing_waits_for_running_calls_and_holds_back_new_ones() -> None:
    gate = Gate(calls_max=10)
    log: list[str] = []
    leave = asyncio.Event()

    async def call(name: str) -> None:
        async with gate.passing():
            log.append(f"{name} in")
            await leave.wait()
            log.append(f"{name} out")

    async def change() -> None:
        async with gate.closed():
            log.append("changed")

    async with asyncio.TaskGroup() as group:
        group.create_task(call("old"))
        await settle()
        group.create_task(change())
        await settle()
        group.create_task(call("new"))
        await settle()
        assert log == ["old in"]
        leave.set()

    assert log == ["old in", "old out", "changed", "new in", "new out"]


async def test_a_call_that_fails_or_is_cancelled_leaves_the_gate() -> None:
    gate = Gate(calls_max=10)

    async def hang() -> None:
        async with gate.passing():
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(1), gate.closed():
        pass


async def test_a_change_that_is_cancelled_while_it_waits_opens_the_gate_again() -> None:
    gate = Gate(calls_max=10)

    async def change() -> None:
        async with gate.closed():
            pass

    async with gate.passing():
        task = asyncio.create_task(change())
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1), gate.passing():
            pass


async def test_too_many_calls_are_refused_with_the_setting_to_change() -> None:
    gate = Gate(calls_max=1)
    async with gate.passing():
        with pytest.raises(OverloadedError, match="calls_max"):
            async with gate.passing():
                pass
    async with gate.passing():
        pass


async def after(delay_s: float, value: int) -> int:
    await asyncio.sleep(delay_s)
    return value


async def test_results_come_as_they_finish() -> None:
    delays = [0.03, 0.01, 0.02]
    jobs = [partial(after, delay, index) for index, delay in enumerate(delays)]
    assert [result async for result in as_they_finish(jobs, concurrent_max=3)] == [1, 2, 0]


async def test_no_more_run_than_allowed_and_a_slow_reader_slows_them() -> None:
    running = started = peak = 0

    async def job() -> None:
        nonlocal running, started, peak
        running += 1
        started += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1

    results = as_they_finish([job] * 50, concurrent_max=4)
    async with aclosing(results):
        await anext(results)
        await settle()
        assert started <= 4
        _ = [result async for result in results]
    assert (started, peak) == (50, 4)


async def test_closing_the_stream_cancels_what_runs() -> None:
    cancelled = 0

    async def hang() -> int:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return 0

    results = as_they_finish([partial(after, 0, 1), hang, hang], concurrent_max=3)
    async with aclosing(results):
        assert await anext(results) == 1
        await settle()
    assert cancelled == 2


async def test_the_first_failure_ends_the_rest() -> None:
    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        _ = [r async for r in as_they_finish([fail, partial(after, 60, 1)], concurrent_max=2)]
