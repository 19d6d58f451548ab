"""What the buffer promises of tasks, on each database."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.services.buffer_server import (
    RunningBuffer,
    commit_tasks,
    new_task,
    run_names,
    seed,
    task,
)
from zeroloop.client.buffer import BufferClient
from zeroloop.core.stored_tasks import BufferFull, Strategy
from zeroloop.core.tasks import Kind
from zeroloop.errors import (
    InvalidRequestError,
)


@pytest.fixture
def client(buffer: RunningBuffer) -> BufferClient:
    return buffer.client


@pytest.fixture
def run() -> str:
    return next(run_names)


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


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        pytest.param(Strategy.UNIFORM, 2, id="examples are drawn once"),
        pytest.param(Strategy.STEP, 2, id="weighted ones too"),
        pytest.param(Strategy.MAX_NEW, 6, id="tasks to solve repeat"),
        pytest.param(Strategy.HALF_NEW, 6, id="half new ones too"),
        pytest.param(Strategy.STEP_REPEATED, 6, id="those drawn by step too"),
    ],
)
async def test_a_small_buffer_fills_a_draw_only_with_tasks_to_solve(
    client: BufferClient, run: str, strategy: Strategy, count: int
) -> None:
    await seed(client, run, tasks=2)

    sample = await client.tasks.sample(run, [Kind.DEDUCTION], strategy, 6, seed=1)

    assert len(sample.draws[0]) == count


async def test_what_a_task_builds_on_is_kept_and_can_be_left_out(
    client: BufferClient, run: str
) -> None:
    await seed(client, run, tasks=2)
    plain = new_task(7)
    built = replace(
        plain,
        task=replace(plain.task, composites=("def g_0(x):\n    return x",)),
        lineage=replace(plain.lineage, composite_task_ids=(f"{run}-1",)),
    )
    (name,) = await client.tasks.admit(run, [built], request_id="composite")

    every = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 9, seed=1)
    others = await client.tasks.sample(
        run, [Kind.DEDUCTION], Strategy.UNIFORM, 9, seed=1, without_composites=True
    )
    stored = await client.tasks.get(name)

    assert (stored.task, stored.lineage) == (built.task, built.lineage)
    assert {one.task_id for one in every.tasks} - {one.task_id for one in others.tasks} == {name}
    assert len(others.tasks) == 2


async def test_several_buffers_are_laid_end_to_end(client: BufferClient, run: str) -> None:
    kinds = [Kind.ABDUCTION, Kind.DEDUCTION]
    await client.tasks.admit(run, [new_task(n, kinds[n % 2]) for n in range(6)], request_id="a")

    sample = await client.tasks.sample(run, kinds, Strategy.UNIFORM, 1, seed=3, draws=200)

    assert {stored.task.kind for stored in sample.tasks} == set(kinds)
    assert len(sample.tasks) == 6
    with pytest.raises(InvalidRequestError, match="must be one kind for max_new"):
        await client.tasks.sample(run, kinds, Strategy.MAX_NEW, 1, seed=3)


async def test_tasks_to_solve_drawn_by_step_repeat_and_weigh_their_round(
    client: BufferClient, run: str
) -> None:
    await seed(client, run, tasks=3)
    await commit_tasks(client, run, 1, count=1)
    await commit_tasks(client, run, 2, count=1)

    sample = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.STEP_REPEATED, 3000, seed=1)

    rounds = Counter(stored.lineage.round for stored in sample.draw(0))
    assert set(rounds) == {1, 2}
    assert rounds[2] / rounds[1] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        pytest.param(BufferFull.KEEP_NEWEST, [5, 6, 7, 8], id="newest"),
        pytest.param(BufferFull.KEEP_OLDEST, [0, 1, 2, 3], id="oldest"),
        pytest.param(BufferFull.RESERVOIR, [2, 3, 4, 8], id="reservoir"),
    ],
)
async def test_a_full_buffer_keeps_what_its_policy_says(
    client: BufferClient, run: str, policy: BufferFull, kept: list[int]
) -> None:
    await seed(client, run, tasks=3)
    for round_index in (1, 2, 3):
        await commit_tasks(
            client, run, round_index, count=2, tasks_max=4, buffer_full=policy, reservoir_seed=5
        )

    sample = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 10, seed=1)

    assert sorted(stored.sequence for stored in sample.tasks) == kept
    assert (await client.tasks.list(run)).total_tasks == 9


async def test_a_reservoir_does_not_depend_on_how_rounds_were_cut(client: BufferClient) -> None:
    async def kept(sizes: Sequence[int], reservoir_seed: int) -> list[int]:
        run = next(run_names)
        await seed(client, run, tasks=0)
        for round_index, count in enumerate(sizes, start=1):
            await commit_tasks(
                client,
                run,
                round_index,
                count=count,
                tasks_max=6,
                buffer_full=BufferFull.RESERVOIR,
                reservoir_seed=reservoir_seed,
            )
        sample = await client.tasks.sample(run, [Kind.DEDUCTION], Strategy.UNIFORM, 99, seed=1)
        return sorted(stored.sequence for stored in sample.tasks)

    assert await kept([30], 1) == await kept([10, 3, 17], 1) == await kept([1] * 30, 1)
    assert await kept([30], 1) != await kept([30], 2)


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
