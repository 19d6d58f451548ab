"""What the buffer promises, on each database: one suite, real server, real client."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

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
    rewards,
    run_names,
    running_buffer,
    seed,
    stage_records,
    task,
    train_oldest,
    weights,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.rounds import BATCH_STAGES, Record, RoundState, Stage, StageSummary
from zeroloop.core.stored_tasks import Strategy
from zeroloop.core.tasks import Kind, Outcome
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres").create_database("conformance")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/buffer.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def buffer(url: str) -> AsyncGenerator[RunningBuffer]:
    async with running_buffer(url) as running:
        yield running


@pytest.fixture
def client(buffer: RunningBuffer) -> BufferClient:
    return buffer.client


@pytest.fixture
def run() -> str:
    return next(run_names)


# ---- the schema


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrating_from_empty_makes_the_tables(buffer: RunningBuffer) -> None:
    async with buffer.database.writing() as connection:
        assert await connection.run_sync(differences) == []


# ---- rounds and stages


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


# ---- commit


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


# ---- tasks


async def test_admitting_is_idempotent_by_request(client: BufferClient, run: str) -> None:
    first = await client.tasks.admit(run, [new_task(0), new_task(1)], request_id="a")
    again = await client.tasks.admit(run, [new_task(9)], request_id="a")
    other = await client.tasks.admit(run, [new_task(0)], request_id="b")

    assert first == again == (f"{run}-0", f"{run}-1")
    assert other == (f"{run}-2",)
    assert (await client.tasks.list(run)).total_tasks == 3


async def test_concurrent_admissions_keep_the_order_without_gaps(
    client: BufferClient, run: str
) -> None:
    answers = await asyncio.gather(
        *(
            client.tasks.admit(run, [new_task(n), new_task(n)], request_id=f"{n % 5}")
            for n in range(10)
        )
    )

    assert len(set(answers)) == 5
    page = await client.tasks.list(run)
    assert [stored.sequence for stored in page.tasks] == list(reversed(range(10)))


async def test_tasks_are_listed_newest_first_by_filters(client: BufferClient, run: str) -> None:
    await client.rounds.open(run, 0, weights_version=0)
    await client.rounds.commit(run, 0, queue_batch=False, tasks=[new_task(0, Kind.INDUCTION)])
    await client.rounds.open(run, 1, weights_version=0)
    later = [new_task(n, round_index=1, rate=n / 4) for n in range(5)]
    await client.rounds.commit(run, 1, queue_batch=False, tasks=later)

    async def ids(**filters: object) -> list[int]:
        page = await client.tasks.list(run, **filters)
        assert page.total_tasks == len(page.tasks)
        return [stored.sequence for stored in page.tasks]

    assert await ids() == [5, 4, 3, 2, 1, 0]
    assert await ids(kind=Kind.INDUCTION) == [0]
    assert await ids(success_rate_min=0.25, success_rate_max=0.75) == [4, 3, 2]
    assert await ids(success_rate_max=0.0) == [1]
    assert await ids(round_max=0) == [0]
    assert await ids(round_min=1, kind=Kind.DEDUCTION) == [5, 4, 3, 2, 1]
    page = await client.tasks.list(run, page_size=4)
    rest = await client.tasks.list(run, page_size=4, page_token=page.next_page_token)
    assert [stored.sequence for stored in (*page.tasks, *rest.tasks)] == [5, 4, 3, 2, 1, 0]
    assert (page.total_tasks, rest.next_page_token) == (6, "")


async def test_a_page_of_long_tasks_ends_early(client: BufferClient, run: str) -> None:
    long = new_task(0)
    object.__setattr__(long.task, "thought", "x" * 6_000_000)
    for n in range(3):
        await client.tasks.admit(run, [long], request_id=str(n))

    page = await client.tasks.list(run)

    assert 0 < len(page.tasks) < 3
    assert page.next_page_token


async def test_a_draw_is_reproducible_whatever_is_committed_later(
    client: BufferClient, run: str
) -> None:
    await seed(client, run, tasks=20)
    for round_index in (1, 2):
        await commit_tasks(client, run, round_index, count=10)
    arguments = {"seed": 7, "draws": 3, "before_round": 3}

    async def draw(strategy: Strategy) -> list[list[str]]:
        sample = await client.tasks.sample(run, [Kind.DEDUCTION], strategy, 12, **arguments)
        return [[stored.task.task_id for stored in sample.draw(n)] for n in range(3)]

    before = {strategy: await draw(strategy) for strategy in Strategy}
    await commit_tasks(client, run, 3, count=30, tasks_max=25)
    after = {strategy: await draw(strategy) for strategy in Strategy}

    assert after == before
    assert len({str(ids) for ids in before[Strategy.UNIFORM]}) == 3
    newest = {f"{run}-{n}" for n in range(30, 40)}
    assert newest <= set(before[Strategy.MAX_NEW][0])
    assert len(newest & set(before[Strategy.HALF_NEW][0])) >= 6


async def test_a_small_buffer_gives_what_it_has(client: BufferClient, run: str) -> None:
    await seed(client, run, tasks=2)

    sample = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 6, seed=1)
    nothing = await client.tasks.sample(run, [Kind.ABDUCTION], Strategy.MAX_NEW, 6, seed=1)

    assert sorted(sample.draws[0]) == [0, 1]
    assert nothing.tasks == ()
    assert nothing.draws == ((),)


async def test_several_buffers_are_laid_end_to_end(client: BufferClient, run: str) -> None:
    kinds = [Kind.ABDUCTION, Kind.DEDUCTION]
    await client.tasks.admit(run, [new_task(n, kinds[n % 2]) for n in range(6)], request_id="a")

    sample = await client.tasks.sample(run, kinds, Strategy.UNIFORM, 1, seed=3, draws=200)

    assert {stored.task.kind for stored in sample.tasks} == set(kinds)
    assert len(sample.tasks) == 6
    with pytest.raises(InvalidRequestError, match="must be one kind for max_new"):
        await client.tasks.sample(run, kinds, Strategy.MAX_NEW, 1, seed=3)


async def test_a_full_buffer_keeps_the_newest_and_forgets_nothing(
    client: BufferClient, run: str
) -> None:
    await seed(client, run, tasks=3)
    await client.tasks.admit(run, [new_task(0, Kind.ABDUCTION)], request_id="other kind")
    await commit_tasks(client, run, 1, count=3, tasks_max=4)

    sample = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 10, seed=1)
    other = await client.tasks.sample(run, [Kind.ABDUCTION], Strategy.UNIFORM, 10, seed=1)

    assert sorted(stored.sequence for stored in sample.tasks) == [2, 4, 5, 6]
    assert len(other.tasks) == 1
    assert (await client.tasks.list(run)).total_tasks == 7
    assert (await client.tasks.get(f"{run}-0")).task == task(0)


# ---- batches


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


async def test_a_waiting_trainer_hears_of_other_processes(url: str, run: str) -> None:
    async with running_buffer(url) as one, running_buffer(url) as other:
        waiting = asyncio.create_task(one.client.batches.lease(run, "t", lease_s=60, wait_s=30))
        await asyncio.sleep(0.1)
        await seed(other.client, run)
        await play(other.client, run, 1)

        async with asyncio.timeout(5):
            assert await waiting is not None


# ---- weights


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


# ---- retention and what is not there


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


async def play_stages(client: BufferClient, run: str, round_index: int) -> None:
    await client.rounds.open(run, round_index, weights_version=0)
    for stage in BATCH_STAGES:
        await client.rounds.put_stage(
            run, round_index, StageSummary(stage=stage), stage_records(stage)
        )


async def commit_tasks(
    client: BufferClient, run: str, round_index: int, *, count: int, tasks_max: int = 0
) -> None:
    await client.rounds.open(run, round_index, weights_version=0)
    await client.rounds.commit(
        run,
        round_index,
        queue_batch=False,
        tasks=[new_task(n, round_index=round_index) for n in range(count)],
        tasks_max=tasks_max,
    )
