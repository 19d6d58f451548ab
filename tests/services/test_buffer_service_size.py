"""A round of the paper's size passes with bounded memory and small messages."""

import random
from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.services.buffer_process import BufferProcess, buffer_process
from tests.services.buffer_server import rewards, seed
from zeroloop.core.rounds import (
    BATCH_STAGES,
    FLOAT32,
    INT32,
    Episode,
    Record,
    Stage,
    StageSummary,
)
from zeroloop.core.tasks import Kind, Outcome, Role

RUN = "paper"
EPISODES = 1920
TOKENS = 8096

GROWTH_BYTES_MAX = 48 * 1024 * 1024
"""Beyond what the idle service has; the tokens and log-probabilities alone are 124 MB."""


def big_episodes() -> Iterator[Episode]:
    """Episodes as large as they get, made one at a time."""
    dice = random.Random(0)
    tokens = array(INT32, [dice.randrange(150_000) for _ in range(2 * TOKENS)])
    logprobs = array(FLOAT32, [-dice.expovariate(1) for _ in range(2 * TOKENS)])
    for index in range(EPISODES):
        start = index % TOKENS
        yield Episode(
            index=index,
            kind=list(Kind)[index % 3],
            role=Role.SOLVER,
            prompt_token_ids=tokens[:500],
            token_ids=tokens[start : start + TOKENS],
            logprobs=logprobs[start : start + TOKENS],
            text=f"{index} " + "reasoning " * 3000,
            outcome=Outcome.WRONG,
        )


@pytest.mark.timeout(600)
async def test_a_round_of_the_papers_size_passes(tmp_path: Path) -> None:
    async with buffer_process(f"sqlite:///{tmp_path}/buffer.db", tmp_path) as buffer:
        await seed(buffer.client, RUN)
        await buffer.client.rounds.open(RUN, 1, weights_version=0)
        idle_bytes = buffer.memory_peak_bytes()

        await store(buffer)
        await read_back(buffer)

        growth_bytes = buffer.memory_peak_bytes() - idle_bytes
        assert growth_bytes < GROWTH_BYTES_MAX


async def store(buffer: BufferProcess) -> None:
    rounds = buffer.client.rounds
    records: dict[Stage, Iterator[Record]] = {
        Stage.SOLVE: big_episodes(),
        Stage.REWARD: iter(rewards((Stage.SOLVE, index) for index in range(EPISODES))),
    }
    for stage in BATCH_STAGES:
        await rounds.put_stage(RUN, 1, StageSummary(stage=stage), records.get(stage, iter(())))
    await rounds.commit(RUN, 1)


async def read_back(buffer: BufferProcess) -> None:
    stored = buffer.client.rounds.get_stage(RUN, 1, Stage.SOLVE)
    assert await same(stored, big_episodes()) == EPISODES
    leased = await buffer.client.batches.lease(RUN, "trainer", lease_s=60)
    assert leased is not None
    assert (leased.batch.sequences, leased.batch.response_tokens) == (EPISODES, EPISODES * TOKENS)
    _, sequences = await buffer.client.batches.get(RUN, 1)
    count = 0
    wanted = big_episodes()
    async for sequence in sequences:
        episode = next(wanted)
        assert sequence.token_ids == episode.token_ids
        assert sequence.logprobs == episode.logprobs
        count += 1
    assert count == EPISODES


async def same(stored: AsyncIterator[Record], wanted: Iterator[Episode]) -> int:
    """Compare two streams and return their length."""
    count = 0
    async for record in stored:
        assert record == next(wanted)
        count += 1
    return count
