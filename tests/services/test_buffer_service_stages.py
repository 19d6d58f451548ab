"""What the buffer promises of rounds and their stages, on each database."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from tests.services.buffer_server import (
    RunningBuffer,
    episode,
    rewards,
    run_names,
    stage_records,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.rounds import Record, RoundState, Stage, StageSummary
from zeroloop.errors import (
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
)


@pytest.fixture
def client(buffer: RunningBuffer) -> BufferClient:
    return buffer.client


@pytest.fixture
def run() -> str:
    return next(run_names)


async def test_opening_twice_equals_opening_once(client: BufferClient, run: str) -> None:
    once = await client.rounds.open(run, 0, weights_version=0, traceparent="00-a-b-01")

    assert once.state is RoundState.OPEN
    assert await client.rounds.open(run, 0, weights_version=9) == once
    assert await client.rounds.get(run, 0) == once


async def test_a_round_opens_only_after_the_one_before_is_committed(
    client: BufferClient, run: str
) -> None:
    await client.rounds.open(run, 0, weights_version=0)

    with pytest.raises(FailedPreconditionError, match="round 0 is open"):
        await client.rounds.open(run, 1, weights_version=0)
    with pytest.raises(FailedPreconditionError, match="round 6 is missing"):
        await client.rounds.open(run, 7, weights_version=0)


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_stage_comes_back_as_it_was_stored(
    client: BufferClient, run: str, stage: Stage
) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    records = stage_records(stage)
    summary = StageSummary(stage=stage, duration_s=1.5, figures={"tokens": 7.0, "x": math.inf})

    assert await client.rounds.put_stage(run, 0, summary, records)

    assert [record async for record in client.rounds.get_stage(run, 0, stage)] == records
    stored = (await client.rounds.get(run, 0)).stage(stage)
    assert stored is not None
    assert (stored.records, stored.duration_s) == (len(records), 1.5)
    assert stored.figures == summary.figures


async def test_order_survives_many_chunks(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    records = [episode(index) for index in reversed(range(201))]

    await client.rounds.put_stage(run, 0, StageSummary(stage=Stage.PROPOSE, records=201), records)

    assert [record async for record in client.rounds.get_stage(run, 0, Stage.PROPOSE)] == records


async def test_a_stored_stage_stays_as_it_is(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    summary = StageSummary(stage=Stage.SOLVE)
    first = [episode(0), episode(1)]
    assert await client.rounds.put_stage(run, 0, summary, first)

    assert not await client.rounds.put_stage(run, 0, summary, [episode(5)] * 500)

    assert [record async for record in client.rounds.get_stage(run, 0, Stage.SOLVE)] == first


async def test_two_writers_of_one_stage_store_it_once(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    records = [episode(index, tokens=200) for index in range(100)]
    summary = StageSummary(stage=Stage.PROPOSE)

    stored = await asyncio.gather(
        *(client.rounds.put_stage(run, 0, summary, records) for _ in range(4))
    )

    assert sorted(stored) == [False, False, False, True]
    assert [record async for record in client.rounds.get_stage(run, 0, Stage.PROPOSE)] == records


async def test_an_empty_stage_is_stored_too(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    with pytest.raises(NotFoundError, match="stage propose is not stored"):
        await anext(client.rounds.get_stage(run, 0, Stage.PROPOSE))

    assert await client.rounds.put_stage(run, 0, StageSummary(stage=Stage.PROPOSE), [])

    assert [record async for record in client.rounds.get_stage(run, 0, Stage.PROPOSE)] == []


@pytest.mark.parametrize(
    ("stage", "records", "problem"),
    [
        pytest.param(Stage.VALIDATE, [episode(0)], "stage validate stores", id="wrong kind"),
        pytest.param(Stage.SOLVE, [episode(0), episode(0)], "got one twice", id="index twice"),
        pytest.param(
            Stage.REWARD, rewards([(Stage.SOLVE, 1)] * 2), "got one twice", id="rewarded twice"
        ),
        pytest.param(Stage.SOLVE, [episode(-1)], "index: must be at least 0", id="index below 0"),
    ],
)
async def test_a_stage_with_a_bad_record_is_not_stored(
    client: BufferClient, run: str, stage: Stage, records: list[Record], problem: str
) -> None:
    await client.rounds.open(run, 0, weights_version=0)

    with pytest.raises(InvalidRequestError, match=problem):
        await client.rounds.put_stage(run, 0, StageSummary(stage=stage), records)

    assert (await client.rounds.get(run, 0)).stages == ()


async def test_a_stage_that_ends_early_is_not_stored(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)

    async def failing() -> AsyncIterator[Record]:
        for index in range(100):
            yield episode(index)
        raise OSError("the engine is gone")

    with pytest.raises(OSError, match="the engine is gone"):
        await client.rounds.put_stage(run, 0, StageSummary(stage=Stage.SOLVE), failing())
    summary = StageSummary(stage=Stage.SOLVE, records=3)
    with pytest.raises(InvalidRequestError, match="what follows, 2, got 3"):
        await client.rounds.put_stage(run, 0, summary, [episode(0), episode(1)])

    assert (await client.rounds.get(run, 0)).stages == ()


async def test_a_cancelled_writer_leaves_nothing_and_blocks_nobody(
    client: BufferClient, run: str
) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    records = [episode(index, tokens=500) for index in range(300)]
    for delay_s in (0.0, 0.05, 0.1, 0.2, 0.4):
        writing = asyncio.create_task(
            client.rounds.put_stage(run, 0, StageSummary(stage=Stage.PROPOSE), records)
        )
        await asyncio.sleep(delay_s)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    await client.rounds.put_stage(run, 0, StageSummary(stage=Stage.PROPOSE), records)

    stored = [record async for record in client.rounds.get_stage(run, 0, Stage.PROPOSE)]
    assert stored == records


async def test_after_the_commit_only_an_evaluation_is_stored(
    client: BufferClient, run: str
) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    await client.rounds.commit(run, 0, queue_batch=False)

    with pytest.raises(FailedPreconditionError, match="only evaluate"):
        await client.rounds.put_stage(run, 0, StageSummary(stage=Stage.SOLVE), [])
    assert await client.rounds.put_stage(
        run, 0, StageSummary(stage=Stage.EVALUATE), stage_records(Stage.EVALUATE)
    )
