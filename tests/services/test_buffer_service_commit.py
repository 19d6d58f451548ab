"""What the buffer promises of commits, listing and watching, on each database."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from services.buffer.schema import metadata
from tests.services.buffer_server import (
    RunningBuffer,
    episode,
    new_task,
    observation,
    play,
    play_stages,
    rewards,
    run_names,
    seed,
    stage_records,
    task,
    train_oldest,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.rounds import BATCH_STAGES, Record, RoundState, Stage, StageSummary
from zeroloop.core.tasks import Outcome
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


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrating_from_empty_makes_the_tables(buffer: RunningBuffer) -> None:
    async with buffer.database.writing() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_commit_does_everything_at_once_and_once(client: BufferClient, run: str) -> None:
    await seed(client, run)
    await play_stages(client, run, 1)
    arguments = {
        "tasks": [new_task(7, round_index=1, rate=0.5), new_task(8, round_index=1)],
        "observations": {f"{run}-0": observation(1, 0.25)},
        "metrics": {"validity": 0.9},
    }

    first = await client.rounds.commit(run, 1, **arguments)
    again = await client.rounds.commit(run, 1, **arguments)

    assert first.task_ids == again.task_ids == (f"{run}-3", f"{run}-4")
    assert (first.already_committed, again.already_committed) == (False, True)
    assert again.round == first.round
    assert first.round.state is RoundState.COMMITTED
    assert first.round.metrics == {"validity": 0.9}
    assert (await client.tasks.list(run)).total_tasks == 5
    assert (await client.tasks.get(f"{run}-0")).observations == (observation(1, 0.25),)
    stored = await client.tasks.get(f"{run}-3")
    assert stored.observations == (observation(1, 0.5),)
    assert stored.task == task(7)
    assert stored.task.task_id == f"{run}-3"
    assert stored.lineage == new_task(7, round_index=1).lineage
    batch, sequences = await client.batches.get(run, 1)
    assert (batch.sequences, batch.response_tokens, batch.attempt) == (3, 15, 0)
    assert len([sequence async for sequence in sequences]) == 3


async def test_concurrent_commits_admit_once(client: BufferClient, run: str) -> None:
    await seed(client, run)
    await play_stages(client, run, 1)
    tasks = [new_task(n, round_index=1) for n in range(20)]

    commits = await asyncio.gather(*(client.rounds.commit(run, 1, tasks=tasks) for _ in range(4)))

    assert len({commit.task_ids for commit in commits}) == 1
    assert sum(not commit.already_committed for commit in commits) == 1
    assert (await client.tasks.list(run)).total_tasks == 23


@pytest.mark.parametrize("missing", BATCH_STAGES)
async def test_a_batch_needs_every_stage(client: BufferClient, run: str, missing: Stage) -> None:
    await seed(client, run)
    await client.rounds.open(run, 1, weights_version=0)
    for stage in set(BATCH_STAGES) - {missing}:
        await client.rounds.put_stage(run, 1, StageSummary(stage=stage), stage_records(stage))

    with pytest.raises(FailedPreconditionError, match=f"missing: {missing}"):
        await client.rounds.commit(run, 1, tasks=[new_task(1, round_index=1)])

    assert (await client.rounds.get(run, 1)).state is RoundState.OPEN
    assert (await client.tasks.list(run)).total_tasks == 3


@pytest.mark.parametrize(
    ("solved", "rewarded", "problem"),
    [
        pytest.param([], [], "no rewards", id="nothing to train on"),
        pytest.param([episode(0)], [(Stage.SOLVE, 3)], "1 of 1 rewards belong", id="no episode"),
        pytest.param(
            [episode(0, outcome=Outcome.NOT_EXECUTED)],
            [(Stage.SOLVE, 0)],
            "must not be trained on",
            id="a failure of the platform",
        ),
    ],
)
async def test_a_batch_that_cannot_train_is_not_queued(
    client: BufferClient,
    run: str,
    solved: list[Record],
    rewarded: list[tuple[Stage, int]],
    problem: str,
) -> None:
    await seed(client, run)
    await client.rounds.open(run, 1, weights_version=0)
    for stage in BATCH_STAGES:
        records = {Stage.SOLVE: solved, Stage.REWARD: rewards(rewarded)}.get(stage, [])
        await client.rounds.put_stage(run, 1, StageSummary(stage=stage), records)

    with pytest.raises(FailedPreconditionError, match=problem):
        await client.rounds.commit(run, 1)

    assert (await client.rounds.get(run, 1)).state is RoundState.OPEN


async def test_a_failed_commit_changes_nothing(client: BufferClient, run: str) -> None:
    await seed(client, run)
    await play_stages(client, run, 1)

    with pytest.raises(NotFoundError, match="no task 'nobody'"):
        await client.rounds.commit(
            run,
            1,
            tasks=[new_task(7, round_index=1)],
            observations={f"{run}-0": observation(1, 0.5), "nobody": observation(1, 0.5)},
        )

    assert (await client.tasks.list(run)).total_tasks == 3
    assert (await client.tasks.get(f"{run}-0")).observations == ()
    with pytest.raises(NotFoundError, match="has no batch"):
        await client.batches.get(run, 1)


async def test_rounds_are_listed_oldest_first_in_pages(client: BufferClient, run: str) -> None:
    await seed(client, run)
    for round_index in range(1, 5):
        await client.rounds.open(run, round_index, weights_version=0)
        await client.rounds.commit(run, round_index, queue_batch=False)

    seen, token = [], ""
    while True:
        page = await client.rounds.list(run, page_size=2, page_token=token)
        seen.append([item.round for item in page.rounds])
        token = page.next_page_token
        if not token:
            break

    assert seen == [[0, 1], [2, 3], [4]]
    with pytest.raises(InvalidRequestError, match="page_token"):
        await client.rounds.list(run, page_token="x")


async def test_a_watcher_sees_every_change_of_state(client: BufferClient, run: str) -> None:
    watching = client.rounds.watch(run)
    seen: list[tuple[int, RoundState]] = []

    async def watch() -> None:
        async for current in watching:
            seen.append((current.round, current.state))
            if current.state is RoundState.TRAINED:
                return

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(watch())
        await seed(client, run)
        await asyncio.sleep(0.2)
        await play(client, run, 1)
        await asyncio.sleep(0.2)
        await train_oldest(client, run)

    assert seen[-3:] == [
        (1, RoundState.OPEN),
        (1, RoundState.COMMITTED),
        (1, RoundState.TRAINED),
    ] or seen[-2:] == [(1, RoundState.COMMITTED), (1, RoundState.TRAINED)]
    assert (0, RoundState.COMMITTED) in seen
