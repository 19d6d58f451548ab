"""A buffer for tests: the real servicers on a real channel, with a clock that tests move."""

import itertools
import random
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio

from services._server.errors import ErrorInterceptor
from services.buffer.application import register
from services.buffer.changes import Changes
from services.buffer.database import Database, open_database
from services.buffer.migrate import prepare_schema
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import MESSAGE_BYTES_MAX, open_channel
from zeroloop.core.batches import Weights
from zeroloop.core.rounds import (
    BATCH_STAGES,
    Episode,
    EpisodeReward,
    Estimate,
    Record,
    Stage,
    StageSummary,
    StoredVerdict,
)
from zeroloop.core.stored_tasks import BufferFull, Lineage, NewTask, Observation, Origin
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task

RECHECK_S = 0.05


@dataclass
class Clock:
    """The time of the buffer; only tests move it."""

    now: float = 1_700_000_000.0

    def now_s(self) -> float:
        return self.now


@dataclass
class RunningBuffer:
    """One buffer process, as far as a test can tell."""

    client: BufferClient
    database: Database
    changes: Changes
    clock: Clock
    target: str


@asynccontextmanager
async def running_buffer(
    url: str, *, clock: Clock | None = None, busy_timeout_s: float = 10.0
) -> AsyncGenerator[RunningBuffer]:
    """Serve the buffer on `url` in this process until the block ends."""
    clock = clock or Clock()
    database = open_database(
        url, connections=4, busy_timeout_s=busy_timeout_s, synchronous="NORMAL"
    )
    changes = Changes(RECHECK_S)
    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=limits)
    tokens = random.Random()
    try:
        await prepare_schema(database, upgrade=True)
        register(
            server,
            database,
            changes,
            now_s=clock.now_s,
            new_token=lambda: tokens.randbytes(16).hex(),
        )
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        async with open_channel(target) as channel:
            yield RunningBuffer(BufferClient(channel), database, changes, clock, target)
    finally:
        changes.close()
        await server.stop(grace=None)
        await database.close()


# ---- what tests store


def task(number: int, kind: Kind = Kind.DEDUCTION) -> Task:
    return Task(
        domain="code",
        kind=kind,
        program=f"def f(x):\n    return x + {number}",
        imports=("import math",),
        cases=(Case("1", str(1 + number)), Case("'é\\x00'", "None")),
        message="ends with NUL \0" if kind is Kind.INDUCTION else "",
        shown=1 if kind is Kind.INDUCTION else 0,
        thought=f"because {number} \0 ∑",
    )


def new_task(
    number: int, kind: Kind = Kind.DEDUCTION, *, round_index: int = 0, rate: float | None = None
) -> NewTask:
    return NewTask(
        task=task(number, kind),
        lineage=Lineage(
            round=round_index,
            proposed_by_weights=max(0, round_index - 1),
            reference_task_ids=("a-1", "a-2"),
            validator="code/1",
            image_digest="sha256:1",
            origin=Origin.ROUND if round_index else Origin.SEED,
        ),
        observation=None if rate is None else observation(round_index, rate),
    )


def observation(round_index: int, rate: float) -> Observation:
    return Observation(
        round=round_index, weights_version=round_index, attempts=8, success_rate=rate
    )


def episode(index: int, *, tokens: int = 5, outcome: Outcome | None = None) -> Episode:
    dice = random.Random(index)
    return Episode(
        index=index,
        kind=list(Kind)[index % 3],
        role=Role.PROPOSER if outcome is None else Role.SOLVER,
        prompt_token_ids=[dice.randrange(150_000) for _ in range(1 + index % 4)],
        token_ids=[dice.randrange(150_000) for _ in range(tokens)],
        logprobs=[-dice.expovariate(1) for _ in range(tokens)],
        text=f"reply {index} \0 ∑",
        finish_reason="length" if index % 2 else "stop",
        weights_version=index % 3,
        seed=2**62 + index,
        task_id="" if outcome is None else f"a-{index}",
        reference_task_ids=("a-1",),
        outcome=outcome,
        accuracy=1.0 if outcome is Outcome.CORRECT else 0.0,
        format_ok=True,
        proposal_index=index,
    )


def stage_records(stage: Stage, count: int = 3) -> list[Record]:
    """Some output of a stage, with every kind of record it may have."""
    match stage:
        case Stage.PROPOSE:
            return [episode(index) for index in range(count)]
        case Stage.VALIDATE:
            return [
                StoredVerdict(index=0, task=task(1), format_ok=True),
                StoredVerdict(index=1, rejection="nondeterministic", detail="2 of 2 \0"),
                StoredVerdict(index=2, not_executed="no sandbox"),
            ]
        case Stage.ESTIMATE:
            outcomes = (Outcome.CORRECT, Outcome.NOT_EXECUTED)
            return [
                episode(0, outcome=Outcome.WRONG),
                Estimate(index=0, outcomes=outcomes, accuracies=(1.0, 0.0)),
                episode(1, outcome=Outcome.MALFORMED),
                Estimate(index=1, outcomes=(), accuracies=()),
            ]
        case Stage.SOLVE | Stage.EVALUATE:
            return [episode(index, outcome=Outcome.CORRECT) for index in range(count)]
        case Stage.REWARD:
            return rewards([(Stage.SOLVE, 1), (Stage.PROPOSE, 2), (Stage.SOLVE, 0)])


def rewards(episodes: Iterable[tuple[Stage, int]]) -> list[Record]:
    return [
        EpisodeReward(stage=stage, index=index, reward=1.0, advantage=index - 0.5, token_weight=0.1)
        for stage, index in episodes
    ]


def weights(run: str, version: int, digest: str = "ab" * 32) -> Weights:
    return Weights(
        run=run,
        version=version,
        uri=f"file:///weights/{version}",
        manifest_digest=digest,
        size_bytes=7_000_000_000,
        attributes={"dtype": "float32", "shards": [1.0, {"of": None}]},
    )


async def play(
    client: BufferClient, run: str, round_index: int, *, tasks: int = 0, train: bool = False
) -> None:
    """Open a round, store all its stages, commit it and, if asked, train on it."""
    await play_stages(client, run, round_index)
    await client.rounds.commit(
        run,
        round_index,
        tasks=[new_task(100 * round_index + n, round_index=round_index) for n in range(tasks)],
    )
    if train:
        await train_oldest(client, run)


async def play_stages(client: BufferClient, run: str, round_index: int) -> None:
    """Open a round and store the stages that a batch needs."""
    await client.rounds.open(run, round_index, weights_version=max(0, round_index - 1))
    for stage in BATCH_STAGES:
        await client.rounds.put_stage(
            run, round_index, StageSummary(stage=stage), stage_records(stage)
        )


async def commit_tasks(
    client: BufferClient,
    run: str,
    round_index: int,
    *,
    count: int,
    tasks_max: int = 0,
    buffer_full: BufferFull = BufferFull.KEEP_NEWEST,
    reservoir_seed: int = 0,
) -> None:
    """Open a round and commit it with new tasks alone."""
    await client.rounds.open(run, round_index, weights_version=0)
    await client.rounds.commit(
        run,
        round_index,
        queue_batch=False,
        tasks=[new_task(n, round_index=round_index) for n in range(count)],
        tasks_max=tasks_max,
        buffer_full=buffer_full,
        reservoir_seed=reservoir_seed,
    )


async def seed(client: BufferClient, run: str, tasks: int = 3) -> None:
    """Play round 0: seeds, and the base model's weights."""
    await client.rounds.open(run, 0, weights_version=0)
    await client.tasks.admit(run, [new_task(n) for n in range(tasks)], request_id="seeds")
    await client.weights.publish(weights(run, 0))
    await client.rounds.commit(run, 0, queue_batch=False)


async def train_oldest(client: BufferClient, run: str) -> int:
    """Train on the oldest batch; return its round."""
    leased = await client.batches.lease(run, "trainer", lease_s=60)
    assert leased is not None
    await client.weights.publish(weights(run, leased.batch.round))
    await client.batches.ack(leased.lease_token, metrics={"loss": 0.5})
    return leased.batch.round


run_names = (f"run{number}" for number in itertools.count())
"""Names that no other test has used, for tests that share a database."""
