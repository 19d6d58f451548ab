"""Batches, retries, and the rule that a failed platform is no verdict."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.reward.finishing import as_finished
from services.reward.runs import RetryPolicy, RunPool
from tests.unit.reward.fakes import FakeExecutor
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import InvalidRequestError, OverloadedError, UnavailableError

DOUBLE = "def f(x): return x * 2"
POLICY = RetryPolicy(backoff_s=0)
LIMITS = Limits(cpu_time_s=1.5)


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
async def pool(executor: FakeExecutor) -> AsyncIterator[RunPool]:
    async with RunPool(executor, LIMITS, POLICY) as pool:
        yield pool


async def test_results_come_in_the_order_of_inputs(pool: RunPool, executor: FakeExecutor) -> None:
    results = await pool.run(DOUBLE, ["1", "'a'", "x"], check_determinism=True)
    assert [(result.status, result.value) for result in results] == [
        (RunStatus.OK, "2"),
        (RunStatus.OK, "'aa'"),
        (RunStatus.ERROR, ""),
    ]
    assert [result.input_index for result in results] == [0, 1, 2]
    assert executor.limits == [LIMITS]
    assert executor.calls[0][0].check_determinism


async def test_what_is_asked_at_once_travels_in_calls_of_64(
    pool: RunPool, executor: FakeExecutor
) -> None:
    results = await asyncio.gather(*(pool.run(DOUBLE, [str(i)]) for i in range(130)))
    assert [result.value for (result,) in results] == [str(2 * i) for i in range(130)]
    assert [len(call) for call in executor.calls] == [64, 64, 2]


async def test_only_what_is_missing_is_tried_again(pool: RunPool, executor: FakeExecutor) -> None:
    executor.lost_per_call = [1]
    results = await pool.run(DOUBLE, ["1", "2", "3"])
    assert [result.value for result in results] == ["2", "4", "6"]
    assert [result.input_index for result in results] == [0, 1, 2]
    assert [call[0].inputs for call in executor.calls] == [("1", "2", "3"), ("3",)]


@pytest.mark.parametrize("fault", ["error", "lost", "silent"])
async def test_a_platform_that_keeps_failing_gives_not_executed(
    pool: RunPool, executor: FakeExecutor, fault: str
) -> None:
    executor.errors = [UnavailableError("no sandbox works")] * 9 if fault == "error" else []
    executor.lost_per_call = [1] * 9 if fault == "lost" else []
    executor.silent = fault == "silent"
    first, last = await pool.run(DOUBLE, ["1", "2"])
    assert last.status is RunStatus.NOT_EXECUTED
    assert last.detail in (
        "no sandbox works",
        "runner lost",
        "the Execution service gave no result",
    )
    assert first.status is (RunStatus.OK if fault == "lost" else RunStatus.NOT_EXECUTED)
    assert len(executor.calls) == POLICY.attempts_max


async def test_a_full_service_is_waited_for(pool: RunPool, executor: FakeExecutor) -> None:
    executor.errors = [OverloadedError("full", retry_after_s=0)] * 10
    (result,) = await pool.run(DOUBLE, ["1"])
    assert result.value == "2"
    assert len(executor.calls) == 11


async def test_a_broken_contract_is_an_error_for_the_caller(
    pool: RunPool, executor: FakeExecutor
) -> None:
    executor.errors = [InvalidRequestError("programs: too many")]
    with pytest.raises(InvalidRequestError, match="too many"):
        await pool.run(DOUBLE, ["1"])


async def test_equal_runs_are_reused_if_that_is_asked_for(
    pool: RunPool, executor: FakeExecutor
) -> None:
    results = await asyncio.gather(*(pool.run(DOUBLE, ["1"], reuse=True) for _ in range(8)))
    assert executor.runs == 1
    assert {result.value for (result,) in results} == {"2"}
    assert sum(result.cached for (result,) in results) == 7
    await pool.run(DOUBLE, ["2"], reuse=True)
    assert executor.runs == 2


async def test_a_run_that_failed_is_never_reused(pool: RunPool, executor: FakeExecutor) -> None:
    executor.errors = [UnavailableError("down")] * POLICY.attempts_max
    (lost,) = await pool.run(DOUBLE, ["1"], reuse=True)
    (found,) = await pool.run(DOUBLE, ["1"], reuse=True)
    assert (lost.status, found.status) == (RunStatus.NOT_EXECUTED, RunStatus.OK)


async def test_one_waiting_caller_that_is_cancelled_takes_nothing_from_another(
    pool: RunPool,
) -> None:
    first = asyncio.ensure_future(pool.run(DOUBLE, ["1"], reuse=True))
    second = asyncio.ensure_future(pool.run(DOUBLE, ["1"], reuse=True))
    await asyncio.sleep(0)
    first.cancel()
    (result,) = await second
    assert result.value == "2"


class StuckExecutor:
    """Never answers; notes whether it was left alone."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def execute(
        self, programs: Sequence[Program], limits: Limits | None = None
    ) -> AsyncIterator[Result]:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        yield Result(program_id="", input_index=0, status=RunStatus.OK)


async def test_leaving_the_pool_cancels_what_runs() -> None:
    executor = StuckExecutor()
    async with RunPool(executor, LIMITS) as pool:
        waiting = asyncio.ensure_future(pool.run(DOUBLE, ["1"]))
        await asyncio.sleep(0.01)
    assert executor.cancelled.is_set()
    waiting.cancel()


async def test_work_is_handed_out_as_it_finishes() -> None:
    async def work(delay: int) -> int:
        for _ in range(delay):
            await asyncio.sleep(0)
        return delay

    assert [delay async for delay in as_finished(work, [60, 0, 30])] == [0, 30, 60]
    assert len([x async for x in as_finished(work, [0] * 1000)]) == 1000


async def test_the_first_error_ends_the_work_and_cancels_the_rest() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        if item == 1:
            raise ValueError("broken")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    with pytest.raises(ValueError, match="broken"):
        async for _ in as_finished(work, [0, 1, 2]):
            pass
    assert sorted(cancelled) == [0, 2]
