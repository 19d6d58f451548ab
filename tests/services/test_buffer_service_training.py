"""What the buffer promises of batches and weights, on each database."""

import asyncio
import math
from collections.abc import AsyncGenerator

import pytest

from tests.services.buffer_server import (
    RunningBuffer,
    play,
    run_names,
    running_buffer,
    seed,
    stage_records,
    train_oldest,
    weights,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.rounds import RoundState, Stage
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
)


@pytest.fixture
def client(buffer: RunningBuffer) -> BufferClient:
    return buffer.client


@pytest.fixture
def run() -> str:
    return next(run_names)


async def test_a_batch_is_what_the_rewards_say_in_their_order(
    client: BufferClient, run: str
) -> None:
    await seed(client, run)
    await play(client, run, 1)

    batch, sequences = await client.batches.get(run, 1)
    got = [sequence async for sequence in sequences]

    solved, proposed = stage_records(Stage.SOLVE), stage_records(Stage.PROPOSE)
    source = [solved[1], proposed[2], solved[0]]
    assert [sequence.index for sequence in got] == [0, 1, 2]
    for sequence, wanted in zip(got, source, strict=True):
        assert sequence.token_ids == wanted.token_ids
        assert sequence.logprobs == wanted.logprobs
        assert sequence.prompt_token_ids == wanted.prompt_token_ids
        assert (sequence.kind, sequence.role) == (wanted.kind, wanted.role)
    assert [sequence.advantage for sequence in got] == [0.5, 1.5, -0.5]
    assert batch.weights_version == 0


async def test_of_many_trainers_one_gets_the_oldest_batch(client: BufferClient, run: str) -> None:
    await seed(client, run)
    await play(client, run, 1)
    await play(client, run, 2)

    leases = await asyncio.gather(
        *(client.batches.lease(run, f"trainer {n}", lease_s=60, wait_s=0.3) for n in range(6))
    )

    held = [leased for leased in leases if leased is not None]
    assert [(leased.batch.round, leased.batch.attempt) for leased in held] == [(1, 1)]


async def test_an_expired_lease_passes_the_batch_on(buffer: RunningBuffer, run: str) -> None:
    batches = buffer.client.batches
    await seed(buffer.client, run)
    await play(buffer.client, run, 1)
    lost = await batches.lease(run, "lost", lease_s=60)
    assert lost is not None
    await batches.renew(lost.lease_token, lease_s=100)

    buffer.clock.now += 99
    assert await batches.lease(run, "next", lease_s=60) is None
    buffer.clock.now += 2
    with pytest.raises(FailedPreconditionError, match="has expired"):
        await batches.renew(lost.lease_token, lease_s=60)
    taken = await batches.lease(run, "next", lease_s=60)

    assert taken is not None
    assert (taken.batch.round, taken.batch.attempt) == (1, 2)
    await buffer.client.weights.publish(weights(run, 1))
    with pytest.raises(FailedPreconditionError, match="no batch is leased"):
        await batches.ack(lost.lease_token)
    await batches.ack(taken.lease_token)


async def test_a_batch_trains_once_and_the_next_one_follows(client: BufferClient, run: str) -> None:
    await seed(client, run)
    await play(client, run, 1)
    leased = await client.batches.lease(run, "trainer", lease_s=60)
    assert leased is not None
    with pytest.raises(FailedPreconditionError, match="weights 1 are not published"):
        await client.batches.ack(leased.lease_token)
    await client.weights.publish(weights(run, 1))

    await client.batches.ack(leased.lease_token, metrics={"loss": math.nan})
    await client.batches.ack(leased.lease_token, metrics={"loss": 1.0})

    trained = await client.rounds.get(run, 1)
    assert trained.state is RoundState.TRAINED
    assert math.isnan(trained.metrics["loss"])
    assert await client.batches.lease(run, "trainer", lease_s=60) is None
    with pytest.raises(FailedPreconditionError, match="ended by AckBatch"):
        await client.batches.renew(leased.lease_token, lease_s=60)
    await play(client, run, 2)
    assert await train_oldest(client, run) == 2


async def test_a_waiting_trainer_is_woken_by_the_commit(client: BufferClient, run: str) -> None:
    waiting = asyncio.create_task(client.batches.lease(run, "t", lease_s=60, wait_s=30))
    await asyncio.sleep(0.1)
    await seed(client, run)
    await play(client, run, 1)

    async with asyncio.timeout(5):
        leased = await waiting

    assert leased is not None
    assert leased.batch.round == 1


async def test_a_waiting_trainer_hears_of_other_processes(buffer_url: str, run: str) -> None:
    async with running_buffer(buffer_url) as one, running_buffer(buffer_url) as other:
        waiting = asyncio.create_task(one.client.batches.lease(run, "t", lease_s=60, wait_s=30))
        await asyncio.sleep(0.1)
        await seed(other.client, run)
        await play(other.client, run, 1)

        async with asyncio.timeout(5):
            assert await waiting is not None


async def test_publishing_twice_equals_publishing_once(client: BufferClient, run: str) -> None:
    once = await client.weights.publish(weights(run, 0))

    assert await client.weights.publish(weights(run, 0)) == once
    assert await client.weights.get(run) == once
    with pytest.raises(AlreadyExistsError, match="published with digest abab"):
        await client.weights.publish(weights(run, 0, digest="cd" * 32))


async def test_versions_follow_the_trained_rounds(client: BufferClient, run: str) -> None:
    with pytest.raises(FailedPreconditionError, match="follow version 0"):
        await client.weights.publish(weights(run, 1))
    await seed(client, run)
    await play(client, run, 1)
    await client.rounds.open(run, 2, weights_version=1)
    await client.rounds.commit(run, 2, queue_batch=False)
    await play(client, run, 3)

    with pytest.raises(FailedPreconditionError, match="weights 3 follow version 1"):
        await client.weights.publish(weights(run, 3))
    await client.weights.publish(weights(run, 1))
    await client.weights.publish(weights(run, 3))

    page = await client.weights.list(run, page_size=2)
    rest = await client.weights.list(run, page_size=2, page_token=page.next_page_token)
    assert [item.version for item in (*page.weights, *rest.weights)] == [3, 1, 0]


async def test_removed_weights_are_gone_and_their_digest_stays(
    client: BufferClient, run: str
) -> None:
    for version in range(4):
        await client.weights.publish(weights(run, version))
    await client.weights.promote(run, 1)

    await client.weights.remove(run, 2)
    await client.weights.remove(run, 2)

    for version, why in ((1, "promoted"), (3, "the newest")):
        with pytest.raises(FailedPreconditionError, match=why):
            await client.weights.remove(run, version)
    with pytest.raises(NotFoundError):
        await client.weights.get(run, 2)
    assert (await client.weights.get(run, 1)).promoted
    with pytest.raises(AlreadyExistsError):
        await client.weights.publish(weights(run, 2, digest="cd" * 32))
    assert (await client.weights.publish(weights(run, 2))).version == 2


async def test_a_watcher_sees_each_version_once(client: BufferClient, run: str) -> None:
    watching = client.weights.watch(run)
    seen = asyncio.create_task(_take(watching, 3))
    for version in range(3):
        await client.weights.publish(weights(run, version))
        await asyncio.sleep(0.02)

    async with asyncio.timeout(5):
        assert await seen == [0, 1, 2]


async def _take(watching: AsyncGenerator, count: int) -> list[int]:
    versions = []
    async for item in watching:
        versions.append(item.version)
        if len(versions) == count:
            await watching.aclose()
            break
    return versions
