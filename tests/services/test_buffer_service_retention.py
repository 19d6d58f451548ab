"""What the buffer promises of what it keeps and what it refuses, on each database."""

import pytest

from tests.services.buffer_server import (
    RunningBuffer,
    new_task,
    play,
    run_names,
    seed,
    stage_records,
    train_oldest,
    weights,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.rounds import Stage, StageSummary
from zeroloop.core.stored_tasks import Strategy
from zeroloop.core.tasks import Kind
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


async def test_pruning_keeps_what_the_history_needs(client: BufferClient, run: str) -> None:
    await seed(client, run)
    for round_index in (1, 2, 3):
        await play(client, run, round_index, tasks=1, train=round_index < 3)
    evaluation = stage_records(Stage.EVALUATE)
    await client.rounds.put_stage(run, 1, StageSummary(stage=Stage.EVALUATE), evaluation)
    before = await client.rounds.get(run, 1)

    assert await client.rounds.prune(run, keep_rounds=2) == 2
    assert await client.rounds.prune(run, keep_rounds=2) == 0

    assert await client.rounds.get(run, 1) == before
    with pytest.raises(FailedPreconditionError, match="were pruned"):
        await anext(client.rounds.get_stage(run, 1, Stage.PROPOSE))
    _, sequences = await client.batches.get(run, 1)
    with pytest.raises(FailedPreconditionError, match="were pruned"):
        await anext(sequences)
    kept = [record async for record in client.rounds.get_stage(run, 1, Stage.REWARD)]
    assert kept == stage_records(Stage.REWARD)
    outcomes = [record async for record in client.rounds.get_stage(run, 1, Stage.EVALUATE)]
    assert [record.outcome for record in outcomes] == [record.outcome for record in evaluation]
    assert all(len(record.token_ids) == 0 for record in outcomes)
    assert (await client.tasks.list(run)).total_tasks == 6
    untouched = [record async for record in client.rounds.get_stage(run, 2, Stage.SOLVE)]
    assert untouched == stage_records(Stage.SOLVE)


async def test_a_round_that_waits_for_its_training_is_not_pruned(
    client: BufferClient, run: str
) -> None:
    await seed(client, run)
    for round_index in (1, 2, 3):
        await play(client, run, round_index)

    assert await client.rounds.prune(run, keep_rounds=1) == 1

    assert await train_oldest(client, run) == 1
    assert await client.rounds.prune(run, keep_rounds=1) == 1


async def test_what_does_not_exist_is_not_found(client: BufferClient, run: str) -> None:
    for asked in (
        client.rounds.get(run, 0),
        client.rounds.list(run),
        client.rounds.commit(run, 0),
        client.rounds.put_stage(run, 0, StageSummary(stage=Stage.SOLVE), []),
        client.rounds.prune(run, keep_rounds=1),
        client.tasks.get(f"{run}-0"),
        client.tasks.list(run),
        client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 1, seed=0),
        client.weights.get(run),
        client.weights.get(run, 3),
        client.weights.list(run),
        client.weights.promote(run, 0),
        client.weights.remove(run, 0),
        client.batches.get(run, 0),
    ):
        with pytest.raises(NotFoundError, match=run):
            await asked


async def test_values_out_of_range_are_named(client: BufferClient, run: str) -> None:
    await seed(client, run)
    sample = client.tasks.sample
    for asked, field in (
        (client.rounds.open("", 0, weights_version=0), "run"),
        (client.rounds.open(run, -1, weights_version=0), "round"),
        (client.tasks.admit(run, [new_task(0)], request_id=""), "request_id"),
        (client.rounds.prune(run, keep_rounds=0), "keep_rounds"),
        (client.tasks.list(run, page_size=1001), "page_size"),
        (sample(run, [], Strategy.STEP, 1, seed=0), "kinds"),
        (sample(run, [Kind.DEDUCTION], Strategy.STEP, 0, seed=0), "count"),
        (sample(run, [Kind.DEDUCTION], Strategy.STEP, 1, seed=0, draws=5000), "draws"),
        (sample(run, [Kind.DEDUCTION], Strategy.STEP, 4096, seed=0, draws=4096), "count . draws"),
        (client.batches.lease(run, "t", lease_s=0.5), "lease"),
        (client.batches.lease(run, "t", lease_s=60, wait_s=601), "wait"),
        (client.batches.renew("", lease_s=60), "lease_token"),
        (client.weights.publish(weights(run, 1, digest="xyz")), "weights.manifest_digest"),
        (client.rounds.commit(run, 0, tasks=[new_task(0, round_index=4)]), "lineage.round"),
    ):
        with pytest.raises(InvalidRequestError, match=field) as caught:
            await asked
        assert caught.value.violations
