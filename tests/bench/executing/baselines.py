"""Other ways to run a program, from none to the same isolation for each run."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.execution.isolation.runsc import Runsc, run_command
from tests.bench.executing.trivial import BATCH, SOURCE, Input, inputs

FORK_SERVER = Path(__file__).with_name("fork_server.py")
LINE_BYTES_MAX = 1 << 20
RUN_S = 30.0
"""The slowest of them takes 0.2 s; more than this is a failure."""


class ForkServer:
    """N: a resident Python without isolation that forks a child for each program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, python: Path) -> AsyncGenerator["ForkServer"]:
        """Start one, and end it with the block."""
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-I", "-S", str(FORK_SERVER)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def batch(self) -> int:
        """Run one batch; return how many programs that were."""
        asked = inputs(BATCH)
        order = [(SOURCE, (one.numbers, one.count)) for one in asked]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(RUN_S):
            answers = json.loads(await self._process.stdout.readline())
        for one, answer in zip(asked, answers, strict=True):
            one.check(answer["value"])
        return len(asked)


class Commands:
    """A process of its own for each program: a command in front of `python -I -S -c`."""

    def __init__(self, python: Path, *before: str) -> None:
        self._before = before
        self._python = str(python)

    async def once(self) -> int:
        """Run one program; return 1."""
        [one] = inputs(1)
        answer = await asyncio.to_thread(_output, self._command(one))
        one.check(answer.strip())
        return 1

    def _command(self, one: Input) -> list[str]:
        program = f"{SOURCE}print(repr(f({one.text})))"
        return [*self._before, self._python, "-I", "-S", "-c", program]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        text=True,
        timeout=RUN_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def runsc_do(runsc: Runsc, platform: str, state: Path) -> list[str]:
    """What starts a sandbox with the host's files, read-only, for one command."""
    flags = run_command(runsc, platform=platform, state=state, bundle=state, name="")
    return [*flags[: flags.index("run")], "do", "-quiet"]


def bubblewrap() -> list[str] | None:
    """What starts a command in namespaces of its own; None if this machine has no `bwrap`."""
    if (found := shutil.which("bwrap")) is None:
        return None
    mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    return [found, "--unshare-all", "--die-with-parent", "--new-session", *mounts]
