"""The controller as users start it, with real vLLM, gVisor and DeepSpeed below it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.client.controller import RunClient
from zeroloop.client.token import ensure_token
from zeroloop.core.runs import Phase, Run, RunSpec

ROOT = Path(__file__).resolve().parents[2]
SEEDLING = ROOT / "models" / "seedling"
PLAYED_S = 500.0

SMALL: Mapping[str, Any] = {"samples_per_group": 8, "rollouts": 4, "evaluate.tasks_per_kind": 20}
"""Rounds of a few seconds, of which every part is real."""


@dataclass
class Controller:
    """A controller process and a client of it."""

    process: "subprocess.Popen[bytes]"
    client: RunClient
    folder: Path
    token: str

    async def play(
        self,
        name: str,
        rounds: int,
        settings: Mapping[str, Any],
        *,
        model: Path = SEEDLING,
        preset: str = "seedling",
    ) -> Run:
        """Create a run and wait until it has ended."""
        spec = RunSpec(model=str(model), preset=preset, rounds=rounds, seed=7, settings=settings)
        await self.client.create_run(spec, request_id=name, name=name)
        return await self.ended(name)

    async def ended(self, name: str) -> Run:
        """Wait until a run has ended, or waits for a person."""
        async with asyncio.timeout(PLAYED_S):
            while True:
                run = await self.client.get_run(name)
                if run.status.phase.ended or run.status.phase is Phase.DEGRADED:
                    return run
                await asyncio.sleep(0.2)

    @asynccontextmanager
    async def buffer(self, name: str) -> AsyncIterator[BufferClient]:
        """The buffer of a run."""
        endpoints = await self.client.get_endpoints(name)
        async with open_channel(endpoints.buffer, token=self.token) as channel:
            yield BufferClient(channel)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What happened in a run."""
        path = self.folder / "runs" / name / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def spans(self, name: str) -> list[dict[str, Any]]:
        """The spans of all processes of a run."""
        folder = self.folder / "runs" / name / "telemetry"
        files: Sequence[Path] = sorted(folder.glob("spans-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@asynccontextmanager
async def controller(folder: Path) -> AsyncIterator[Controller]:
    """Start a controller; end it, and with it all that it started."""
    folder.mkdir(parents=True, exist_ok=True)
    token, address = folder / "token", folder / "address"
    address.unlink(missing_ok=True)
    with (folder / "controller.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  returns at once
            [
                *(sys.executable, "-m", "services.controller", "--exit-with-parent"),
                f"--address-file={address}",
                f"--token-file={token}",
                f"--runs-folder={folder / 'runs'}",
            ],
            cwd=ROOT,
            stderr=log,
        )
    try:
        async with asyncio.timeout(60):
            while not address.exists():
                assert process.poll() is None, (folder / "controller.log").read_text()[-2000:]
                await asyncio.sleep(0.05)
        secret = ensure_token(token)
        async with open_channel(address.read_text(), token=secret) as channel:
            yield Controller(process, RunClient(channel), folder, secret)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()


def children_of(folder: Path) -> list[int]:
    """Processes whose command line names `folder`, and engines that they started."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "pytest" not in line:
            found.append(int(entry.name))
    return found
