"""One round of the paper's size through the real controller, reward, buffer and batch lease.

The engine and the sandbox pool are simulated: 192 proposals, 1,536 rollouts and 192 answers
of up to 8,096 tokens each, and every run of a program that they lead to. No process may need
more memory than a fraction of what the round's tokens would take as Python objects, and no
message may be larger than its limit, which every server and client enforces.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.controller.platforms.local.process import Command, Process
from services.controller.rounds.zero import zero_task
from services.inference.engine.policy import FAMILIES
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.client.token import ensure_token
from zeroloop.core.rounds import Episode, Stage
from zeroloop.core.stored_tasks import Lineage, NewTask, Origin
from zeroloop.core.tasks import Case, Kind, Task

ROOT = Path(__file__).resolve().parents[2]
RUN = "paper-size"
GROUP = 64
TOKENS_MAX = 8_096

MEMORY_MIB_MAX = {
    "buffer": 250,
    "execution": 150,
    "reward": 150,
    "inference": 200,
    "player": 250,
}
"""Peak resident memory. The tokens of the responses alone are 16 million."""


def service(folder: Path, name: str, module: str, *flags: str) -> Command:
    return Command(
        name=name,
        arguments=[
            *(sys.executable, "-m", module, "--port=0"),
            f"--address-file={folder / name}",
            f"--token-file={folder / 'token'}",
            "--drain-s=0.5",
            "--exit-with-parent",
            *flags,
        ],
        log=folder / f"{name}.log",
        address_file=folder / name,
        environment=dict(os.environ),
        folder=ROOT,
    )


@asynccontextmanager
async def processes(folder: Path) -> AsyncIterator[dict[str, Process]]:
    running: dict[str, Process] = {}
    async with AsyncExitStack() as stack:

        async def start(command: Command) -> Process:
            process = await Process.start(command)
            stack.push_async_callback(process.stop, 3.0)
            running[command.name] = process
            return process

        url = f"--database-url=sqlite:///{folder / 'buffer.db'}"
        await start(service(folder, "buffer", "services.buffer", url))
        pool = await start(service(folder, "execution", "tests.services.simulated_pool"))
        model = ROOT / "models" / "seedling"
        await start(
            service(
                folder,
                "inference",
                "services.inference",
                *("--engine=simulated", f"--model={model}", "--context-tokens=32768"),
                f"--simulated-tokens-max={TOKENS_MAX}",
            )
        )
        target = f"--execution-target={await pool.serving(60)}"
        await start(service(folder, "reward", "services.reward", target))
        for process in running.values():
            await process.serving(60)
        yield running


def seeds() -> list[NewTask]:
    """As many tasks of each kind as a run of this size begins with."""
    found: list[NewTask] = []
    for kind in Kind:
        for number in range(4 * GROUP):
            family = FAMILIES[number % len(FAMILIES)]
            a, b = 1 + number % 9, 1 + number // 9 % 9
            inputs = range(number % 50, number % 50 + (10 if kind is Kind.INDUCTION else 1))
            task = Task(
                domain="code",
                kind=kind,
                program=family.program(a, b),
                cases=tuple(Case(str(x), str(family.compute(x, a, b))) for x in inputs),
                message="A small function." if kind is Kind.INDUCTION else "",
                shown=5 if kind is Kind.INDUCTION else 0,
                thought="because " * 2_000,
            )
            found.append(NewTask(task=task, lineage=Lineage(round=0, origin=Origin.SEED)))
    found[0] = NewTask(task=zero_task(Kind.ABDUCTION), lineage=Lineage(round=0, origin=Origin.ZERO))
    return found


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


@pytest.mark.timeout(900)
async def test_a_round_of_the_papers_size_needs_bounded_memory(tmp_path: Path) -> None:
    token = ensure_token(tmp_path / "token")
    async with processes(tmp_path) as running:
        addresses = {name: (tmp_path / name).read_text() for name in running}
        async with open_channel(addresses["buffer"], token=token) as channel:
            buffer = BufferClient(channel)
            await buffer.rounds.open(RUN, 0, weights_version=0)
            new = seeds()
            for start in range(0, len(new), 4 * GROUP):
                part = new[start : start + 4 * GROUP]
                await buffer.tasks.admit(RUN, part, request_id=f"seeds-{start}")
            await buffer.rounds.commit(RUN, 0, queue_batch=False)

            asked = {
                "run": RUN,
                "preset": "paper",
                "settings": {"limits.judge_calls_max": 8},
                "rounds": [1],
                "endpoints": addresses,
            }
            (tmp_path / "player.json").write_text(json.dumps(asked))
            running["player"] = await play(tmp_path)
            peaks = await watched(running)

            played = json.loads((tmp_path / "played.json").read_text())
            await check_the_batch(buffer)
    responses = {step: tally["done"] for step, tally in played.items()}
    assert responses["propose"] == 3 * GROUP
    assert responses["solve"] == 3 * GROUP
    assert responses["estimate"] > 8 * 3 * GROUP * 0.85, "most proposals are valid"
    runs = sum(tally["runs"] for tally in played.values())
    assert runs > 3_000, "deduction needs none, and malformed answers have none"
    tokens = sum(tally["tokens"] for tally in played.values())
    print({"peaks_mib": peaks, "tokens": tokens, "responses": responses, "runs": runs})
    assert tokens > 5_000_000
    for name, limit_mib in MEMORY_MIB_MAX.items():
        assert peaks[name] < limit_mib, (name, peaks)


async def play(folder: Path) -> Process:
    command = Command(
        name="player",
        arguments=[sys.executable, "-m", "tests.services.round_player", str(folder)],
        log=folder / "player.log",
        environment=dict(os.environ),
        folder=ROOT,
    )
    return await Process.start(command)


async def watched(running: dict[str, Process]) -> dict[str, int]:
    """Wait for the player and return the peak memory of every process, mebibytes."""
    peaks: dict[str, int] = {}
    player = running["player"]
    while player.exit_code is None:
        for name, process in running.items():
            with suppress(OSError, AssertionError):
                peaks[name] = round(peak_mib(process.pid))
        await asyncio.sleep(0.2)
    assert player.exit_code == 0, player.last_words()
    return peaks


async def check_the_batch(buffer: BufferClient) -> None:
    """The trainer's side: lease the batch and read every sequence of it."""
    leased = await buffer.batches.lease(RUN, "test", lease_s=60)
    assert leased is not None
    batch, sequences = await buffer.batches.get(RUN, 1)
    count, tokens, weight = 0, 0, 0.0
    async for sequence in sequences:
        assert len(sequence.logprobs) == len(sequence.token_ids) <= TOKENS_MAX
        count += 1
        tokens += len(sequence.token_ids)
        weight += sequence.token_weight * len(sequence.token_ids)
    assert count == batch.sequences == 6 * GROUP
    assert tokens == batch.response_tokens
    assert weight == pytest.approx(1.0)
    longest = 0
    async for record in buffer.rounds.get_stage(RUN, 1, Stage.SOLVE):
        assert isinstance(record, Episode)
        longest = max(longest, len(record.token_ids))
    assert longest > TOKENS_MAX * 0.95
