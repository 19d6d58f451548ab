"""Whole rounds with nothing simulated: vLLM, gVisor, DeepSpeed, SQLite, gRPC.

One run is played without interruption and looked at from all sides. A second one with the
same seed has its processes killed on the way and must end with the same weights, bit for bit.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.engine.controller_process import SMALL, Controller, children_of, controller
from tests.engine.round_trace import assert_one_trace
from zeroloop.client.buffer import BufferClient
from zeroloop.core import figures
from zeroloop.core.rounds import EpisodeReward, RoundState, Stage
from zeroloop.core.runs import Phase, RunStatus
from zeroloop.errors import NotFoundError
from zeroloop.weights_folder import verify

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

ROUNDS = 2
DETERMINISTIC = {**SMALL, "deterministic": True}


@dataclass
class Outcome:
    """What a run leaves behind that must not depend on luck."""

    tasks: list[tuple[str, str, str]]
    rewards: list[tuple[str, int, float, float, float]]
    digests: list[str]


async def outcome_of(buffer: BufferClient, name: str) -> Outcome:
    page = await buffer.tasks.list(name, page_size=1000)
    tasks = sorted((t.task.kind, t.task.source, str(t.task.cases)) for t in page.tasks)
    rewards: list[tuple[str, int, float, float, float]] = []
    for index in range(1, ROUNDS + 1):
        async for record in buffer.rounds.get_stage(name, index, Stage.REWARD):
            assert isinstance(record, EpisodeReward)
            rewards.append(
                (record.stage, record.index, record.reward, record.advantage, record.token_weight)
            )
    versions = await buffer.weights.list(name)
    digests = [version.manifest_digest for version in versions.weights]
    return Outcome(tasks, rewards, await without_traces(versions.weights, digests))


async def without_traces(weights: Any, digests: list[str]) -> list[str]:
    """Digests of the weights' files; a manifest also names the trace that wrote it."""
    found: list[str] = []
    for version, digest in zip(weights, digests, strict=True):
        verified = verify(Path(version.uri.removeprefix("file://")), digest)
        found.append(json.dumps({n: d.sha256 for n, d in verified.manifest.files.items()}))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Controller]:
    """A controller that has played the run `clean`."""
    async with controller(tmp_path_factory.mktemp("played")) as here:
        run = await here.play("clean", ROUNDS, DETERMINISTIC)
        assert run.status.phase is Phase.COMPLETED, here.events("clean")[-3:]
        yield here


async def test_every_round_is_trained_and_served(played: Controller) -> None:
    async with played.buffer("clean") as buffer:
        rounds = (await buffer.rounds.list("clean")).rounds
        versions = (await buffer.weights.list("clean")).weights

    assert [known.state for known in rounds[1:]] == [RoundState.TRAINED] * ROUNDS
    assert [weights.version for weights in versions] == list(range(ROUNDS, -1, -1))
    run = await played.client.get_run("clean")
    assert run.status.weights_version == ROUNDS
    rollouts = run.effective_settings["rollouts"]
    for known in rounds[1:]:
        # Proposals and solutions, and the attempts at every valid proposal that is not held out.
        estimates = known.stage(Stage.ESTIMATE)
        assert estimates is not None
        tasks = estimates.records / (1 + rollouts) - known.metrics.get(figures.HELDOUT_PROPOSED, 0)
        sequences = 6 * SMALL["samples_per_group"] + rollouts * tasks
        assert known.metrics[figures.SEQUENCES] == sequences
        assert known.metrics[figures.ADMITTED] > 0


async def test_trainer_and_engine_agree_on_the_same_tokens(played: Controller) -> None:
    async with played.buffer("clean") as buffer:
        rounds = (await buffer.rounds.list("clean")).rounds
    rolls = [event for event in played.events("clean") if event["type"] == "weights"]

    assert len(rolls) == ROUNDS
    for known, roll in zip(rounds[1:], rolls, strict=True):
        assert known.metrics[figures.MISMATCH_MAX] <= 1e-3
        assert 0 <= roll["figures"][figures.PARITY] <= 1e-3


async def test_held_out_tasks_are_evaluated_before_and_after(played: Controller) -> None:
    evaluated = [event for event in played.events("clean") if event["type"] == "evaluation"]

    assert [event["round"] for event in evaluated] == [0, ROUNDS]
    for event in evaluated:
        assert event["figures"]["heldout_tasks.deduction"] == SMALL["evaluate.tasks_per_kind"]


async def test_a_round_is_one_trace_through_all_processes(played: Controller) -> None:
    async with played.buffer("clean") as buffer:
        known = await buffer.rounds.get("clean", 1)
    await assert_one_trace(played, "clean", known)


async def test_engine_or_sandbox_or_optimiser_works_nearly_all_the_time(
    played: Controller,
) -> None:
    """The target, at most 15 %, is for rounds of the full size; these are tiny."""
    last = [event for event in played.events("clean") if event["type"] == "round"][-1]
    found = last["figures"]

    assert 0 <= found[figures.IDLE_S] <= 0.4 * found[figures.WALL_S]


async def test_a_run_whose_processes_are_killed_ends_with_the_same_weights(
    played: Controller, tmp_path: Path
) -> None:
    async with played.buffer("clean") as buffer:
        expected = await outcome_of(buffer, "clean")
    async with controller(tmp_path / "killed") as here:
        playing = asyncio.create_task(here.play("clean", ROUNDS, DETERMINISTIC))
        await until_round(here, 1)
        kill(here.folder, "services.inference")
        await until_round(here, 1, "train")
        kill(here.folder, "trainer.launch")
        run = await playing
        assert run.status.phase is Phase.COMPLETED, here.events("clean")[-3:]
        async with here.buffer("clean") as buffer:
            found = await outcome_of(buffer, "clean")
        here.process.kill()
        await asyncio.sleep(5)
        left = children_of(here.folder)

    assert found.tasks == expected.tasks
    assert found.rewards == expected.rewards
    assert found.digests == expected.digests
    assert left == [], "nothing may outlive a controller that was killed"


async def until_round(here: Controller, index: int, stage: str = "") -> None:
    async with asyncio.timeout(300):
        while True:
            try:
                status = (await here.client.get_run("clean")).status
            except NotFoundError:
                status = RunStatus()
            if status.round >= index and stage in ("", status.stage):
                return
            await asyncio.sleep(0.05)


def kill(folder: Path, module: str) -> None:
    """Kill the process of `module` that serves the run below `folder`."""
    for pid in children_of(folder):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if arguments[1:3] == [b"-m", module.encode()]:
            os.kill(pid, signal.SIGKILL)
