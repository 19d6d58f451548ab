"""Runs on this machine with real processes: buffer, reward and controller as they are.

Engine, sandbox pool and trainer are stand-ins, so that a round takes a second and any
process can be killed at any moment.
"""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio
import pytest

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services.controller.book import RunBook
from services.controller.platforms.base import RunPlatform
from services.controller.platforms.local.commands import Commands
from services.controller.platforms.local.platform import LocalPlatform
from services.controller.platforms.local.process import Command
from services.controller.preparing import Prepared
from services.controller.promoting import nowhere
from services.controller.run_spans import RunSpans
from services.controller.runs import Runs
from services.controller.servicer import RunServicer
from services.controller.store import RunStore
from tests.services.fake_trainer import DIES_IN_ROUND, ENDS_SAYING, IS_IDLE
from tests.services.test_controller_processes import gone, is_alive, until
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access, open_channel
from zeroloop.client.controller import RunClient
from zeroloop.client.token import ensure_token
from zeroloop.controller.v1 import controller_pb2_grpc as stubs
from zeroloop.core.rounds import RoundState
from zeroloop.core.runs import ConditionType, Phase, Promotion, RunSpec
from zeroloop.errors import FailedPreconditionError, NotFoundError

pytestmark = pytest.mark.timeout(300)  # each test starts six processes, some of them twice

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "samples_per_group": 4,
    "seed_batch_factor": 2,
    "rollouts": 2,
    "inference.engine": "simulated",
    "evaluate.tasks_per_kind": 3,
    "keep.weights": 2,
    "training.failures_max": 100,
}


class Standing(Commands):
    """Commands with stand-ins for what is heavy.

    A clip of 1 is for the real trainer, with a setting that it refuses.
    """

    def execution_service(self, port: int) -> Command:
        return _module(super().execution_service(port), "tests.services.simulated_pool")

    def trainer(self, buffer: str, attempt: int, last_round: int = 0) -> Command:
        command = super().trainer(buffer, attempt, last_round)
        if self.settings.algorithm.clip == 1:
            return replace(command, arguments=[*command.arguments, "--lease-s=1"])
        return _module(command, "tests.services.fake_trainer")


def _module(command: Command, module: str) -> Command:
    python, minus_m, _, *rest = command.arguments
    return replace(command, arguments=[python, minus_m, module, *rest])


@dataclass
class Machine:
    runs: Runs
    folder: Path
    token: str
    platforms: dict[str, LocalPlatform]

    async def until(self, name: str, *phases: Phase, limit_s: float = 90.0) -> None:
        await until(lambda: self.runs.get(name).status.phase in phases, limit_s)

    def events(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / name / "events.jsonl").open()]


@asynccontextmanager
async def machine(folder: Path, **environment: str) -> AsyncIterator[Machine]:
    token_file = folder / "token"
    token = ensure_token(token_file)
    platforms: dict[str, LocalPlatform] = {}

    def make(book: RunBook, prepared: Prepared) -> RunPlatform:
        commands = Standing(
            run=book.run,
            settings=prepared.settings,
            folder=book.folder,
            model=prepared.model,
            token_file=token_file,
            environment={**os.environ, **environment},
            execution={},
        )
        made = LocalPlatform(book, prepared.settings, commands, prepared.heldout, RunSpans())
        platforms[book.run.name] = made
        return made

    store = RunStore(folder / "runs")
    runs = Runs(store, make, lambda: datetime.now(UTC), active_max=1, tick_s=0.1)
    runs.restore(resume=False)
    try:
        yield Machine(runs, folder / "runs", token, platforms)
    finally:
        await runs.close()


@asynccontextmanager
async def serving(here: Machine) -> AsyncIterator[RunClient]:
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(SharedToken(here.token)), ErrorInterceptor()]
    )
    stubs.add_RunServiceServicer_to_server(
        RunServicer(here.runs, Access(here.token), nowhere), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", token=here.token) as channel:
        yield RunClient(channel)
    await server.stop(None)


def spec(rounds: int, **more: float) -> RunSpec:
    return RunSpec(
        model=str(ROOT / "models" / "seedling"),
        preset="seedling",
        rounds=rounds,
        seed=7,
        settings={**SETTINGS, **more},
    )


async def rounds_of(here: Machine, name: str) -> list[tuple[int, RoundState]]:
    target = here.runs.endpoints(name).buffer
    async with open_channel(target, token=here.token) as channel:
        page = await BufferClient(channel).rounds.list(name)
    return [(known.round, known.state) for known in page.rounds]


async def test_a_run_is_played_and_its_folder_tells_everything(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        await here.runs.create("r", spec(3), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

        run = here.runs.get("r")
        assert run.status.phase is Phase.COMPLETED, here.events("r")[-3:]
        assert run.status.weights_version == 3
        assert run.status.tasks > 24
        trained = [(index, RoundState.TRAINED) for index in (1, 2, 3)]
        assert await rounds_of(here, "r") == [(0, RoundState.COMMITTED), *trained]

    folder = tmp_path / "runs" / "r"
    events = here.events("r")
    rounds = [event for event in events if event["type"] == "round"]
    assert [event["round"] for event in rounds] == [0, 1, 2, 3]
    assert "loss" in str(rounds[-1]["figures"])
    evaluated = [event["round"] for event in events if event["type"] == "evaluation"]
    assert evaluated == [0, 3]
    assert sorted(path.name for path in (folder / "weights").iterdir()) == ["0", "2", "3"]
    assert {"buffer.log", "inference.log", "trainer.log"} <= {
        path.name for path in (folder / "logs").iterdir()
    }
    spans = [json.loads(line) for line in (folder / "telemetry" / "spans-reward.jsonl").open()]
    assert spans


async def test_after_stopping_no_process_is_left_and_the_run_goes_on(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        await here.runs.create("r", spec(50), "q")
        await until(lambda: here.runs.get("r").status.round >= 1, 90)
        pids = here.platforms["r"].pids
        assert set(pids) == {"buffer", "execution", "reward", "inference", "trainer"}

        async with asyncio.timeout(5):
            await here.runs.stop("r", resumable=True)

        assert all([await gone(pid, 0.5) for pid in pids.values()])
        assert here.runs.get("r").status.phase is Phase.SUSPENDED
        played = here.runs.get("r").status.round

        await here.runs.resume("r", played + 1)
        await here.until("r", Phase.COMPLETED, Phase.FAILED)
        assert here.runs.get("r").status.phase is Phase.COMPLETED
        states = dict(await rounds_of(here, "r"))
        assert states[played + 1] is RoundState.TRAINED


@pytest.mark.parametrize("seed", range(2))
async def test_whoever_is_killed_every_round_is_played_and_trained_once(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    async with machine(tmp_path) as here:
        await here.runs.create("r", spec(4), "q")
        await until(lambda: here.runs.get("r").status.phase is Phase.PLAYING, 90)
        victims = ["buffer", "execution", "reward", "inference", "trainer"]
        dice.shuffle(victims)
        for victim in victims:
            await asyncio.sleep(dice.random() * 2)
            pid = here.platforms["r"].pids.get(victim, 0)
            if pid and is_alive(pid):
                os.kill(pid, signal.SIGKILL)

        await here.until("r", Phase.COMPLETED, Phase.FAILED, limit_s=150)

        assert here.runs.get("r").status.phase is Phase.COMPLETED, here.events("r")[-3:]
        states = await rounds_of(here, "r")
        assert states[1:] == [(index, RoundState.TRAINED) for index in (1, 2, 3, 4)]
    versions = [event["round"] for event in here.events("r") if event["type"] == "weights"]
    assert versions == sorted(set(versions)), "weights never go back or repeat"


async def test_a_trainer_that_dies_before_its_report_of_the_last_round_is_started_again(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path, **{DIES_IN_ROUND: "2"}) as here:
        await here.runs.create("r", spec(2), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

        assert here.runs.get("r").status.phase is Phase.COMPLETED, here.events("r")[-3:]
        states = await rounds_of(here, "r")
        assert states[1:] == [(1, RoundState.TRAINED), (2, RoundState.TRAINED)]
    rounds = [event for event in here.events("r") if event["type"] == "round"]
    assert [event["round"] for event in rounds] == [0, 1, 2]
    assert "loss" in str(rounds[-1]["figures"])


async def test_in_segments_a_trainer_runs_only_for_its_batches(tmp_path: Path) -> None:
    async with machine(tmp_path, **{DIES_IN_ROUND: "2"}) as here:
        await here.runs.create("r", spec(3, **{"training.rounds_per_job": 1}), "q")
        began_in: dict[int, str] = {}
        reasons: set[str] = set()
        while not (status := here.runs.get("r").status).phase.ended:
            platform = here.platforms.get("r")
            pid = platform.pids.get("trainer", 0) if platform else 0
            if pid and is_alive(pid):
                began_in.setdefault(pid, status.stage)
            if ready := status.condition(ConditionType.TRAINING_READY):
                reasons.add(ready.reason)
            await asyncio.sleep(0.01)

        assert status.phase is Phase.COMPLETED, here.events("r")[-3:]
        assert len(began_in) == 4, "one for each round, and one for that which was killed"
        assert set(began_in.values()) <= {"commit", "train"}, "none before its batch"
        states = await rounds_of(here, "r")
        assert states[1:] == [(index, RoundState.TRAINED) for index in (1, 2, 3)]
        assert "Resting" in reasons


async def test_on_shared_devices_the_engine_sleeps_while_a_trainer_runs(tmp_path: Path) -> None:
    async with machine(tmp_path, **{DIES_IN_ROUND: "2"}) as here:
        await here.runs.create("r", spec(3, **{"training.colocate": True}), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)
        assert here.runs.get("r").status.phase is Phase.COMPLETED, here.events("r")[-3:]

    log = (tmp_path / "runs" / "r" / "logs" / "inference.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if "engine_turned" in line]
    # Once a round, whatever becomes of the trainer meanwhile.
    assert [line["asleep"] for line in lines] == [True, False] * 3


async def test_a_trainer_that_ends_well_but_does_nothing_is_not_started_for_ever(
    tmp_path: Path,
) -> None:
    more = {"training.rounds_per_job": 1, "training.failures_max": 1}
    async with machine(tmp_path, **{IS_IDLE: "1"}) as here:
        await here.runs.create("r", spec(2, **more), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

        failed = here.runs.get("r").status.condition(ConditionType.FAILED)
        assert failed is not None
        assert "round 1 is not trained after 2 failed attempts" in failed.message
    warnings = [event["message"] for event in here.events("r") if event["type"] == "warning"]
    words = "weights v0 are not published"
    assert warnings[:2] == [f"trainer ended unasked with code 0: {words}"] * 2
    assert failed.message.endswith(words)


async def test_promoted_weights_outlive_the_newest_ones(tmp_path: Path) -> None:
    async with machine(tmp_path) as here, serving(here) as client:
        await here.runs.create("r", spec(4), "q")
        await until(lambda: here.runs.get("r").status.weights_version >= 1, 90)
        assert await client.promote_weights("r", 1) == Promotion(1)
        with pytest.raises(FailedPreconditionError, match="no InferenceService 'coder' on one"):
            await client.promote_weights("r", 1, inference_service="coder")
        with pytest.raises(NotFoundError, match="9"):
            await client.promote_weights("r", 9)
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

    kept = sorted(path.name for path in (tmp_path / "runs" / "r" / "weights").iterdir())
    assert kept == ["0", "1", "3", "4"]


async def test_what_a_trainer_says_when_it_ends_is_what_the_user_reads(tmp_path: Path) -> None:
    async with machine(tmp_path, **{ENDS_SAYING: "no space left to write there"}) as here:
        await here.runs.create("r", spec(2, **{"training.failures_max": 1}), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

        failed = here.runs.get("r").status.condition(ConditionType.FAILED)
        assert failed is not None
        assert failed.message == (
            "round 1 is not trained after 2 failed attempts: no space left to write there"
        )
    warnings = [event["message"] for event in here.events("r") if event["type"] == "warning"]
    assert warnings[0] == "trainer ended unasked with code 75: no space left to write there"


async def test_a_trainer_that_refuses_its_settings_stops_the_run_with_its_own_words(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as here:
        await here.runs.create("r", spec(2, clip=1.0), "q")
        await here.until("r", Phase.COMPLETED, Phase.FAILED)

        failed = here.runs.get("r").status.condition(ConditionType.FAILED)
        assert failed is not None
        assert failed.reason == "TrainingRefused"
        assert "lease_s" in failed.message
        assert "greater than or equal to 3" in failed.message
