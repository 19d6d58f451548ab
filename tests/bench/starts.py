"""How long services take until they serve, each alone: `python -m tests.bench.starts`.

Inference and trainer are left out: they load a model. What a start costs in processor time
depends less on what else the machine does.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bench.report import Row, write
from tests.engine.inference_process import descendants
from zeroloop.client.channel import open_channel
from zeroloop.client.token import ensure_token

REPEATS = 5
START_S = 120.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Start:
    """One start, until the service served."""

    wall_s: float
    processor_s: float
    address: str


@dataclass(frozen=True, slots=True)
class Case:
    """A service as it is started, given a fresh folder and where programs are executed."""

    name: str
    module: str
    flags: Callable[[Path, str], list[str]]
    serving: str
    """Its name in health checks."""


def _database(folder: Path) -> list[str]:
    return [f"--database-url=sqlite:///{folder / 'buffer.db'}"]


EXECUTION = Case(
    "execution", "services.execution", lambda _, __: [], "zeroloop.execution.v1.ExecutionService"
)
BUFFER = Case(
    "buffer",
    "services.buffer",
    lambda folder, _: _database(folder),
    "zeroloop.buffer.v1.TaskService",
)
CASES = (
    Case(
        "reward",
        "services.reward",
        lambda _, execution: [f"--execution-target={execution}"],
        "zeroloop.reward.v1.RewardService",
    ),
    Case(
        "controller",
        "services.controller",
        lambda folder, _: [f"--runs-folder={folder / 'runs'}"],
        "zeroloop.controller.v1.RunService",
    ),
)


@contextmanager
def started(case: Case, folder: Path, execution: str) -> Iterator[Start]:
    """Start a service and measure until it serves; end it with the block."""
    address, token = folder / f"{case.module}.address", folder / "token"
    address.unlink(missing_ok=True)
    command = [
        *(
            sys.executable,
            "-m",
            case.module,
            "--exit-with-parent",
            "--log-level=WARNING",
        ),
        *(f"--address-file={address}", f"--token-file={token}", "--drain-s=0"),
        *case.flags(folder, execution),
    ]
    secret = ensure_token(token)
    began_s = time.perf_counter()
    process = subprocess.Popen(command)
    try:
        while not address.exists():
            if process.poll() is not None:
                raise SystemExit(f"{case.name} ended with code {process.returncode}")
            if time.perf_counter() - began_s > START_S:
                raise SystemExit(f"{case.name} does not start within {START_S:g} s")
            time.sleep(0.01)
        asyncio.run(_until_it_serves(address.read_text(), secret, case.serving))
        wall_s = time.perf_counter() - began_s
        pids = [process.pid, *descendants(process.pid)]
        yield Start(wall_s, sum(map(_processor_s, pids)), address.read_text())
    finally:
        process.terminate()
        process.wait()


async def _until_it_serves(address: str, token: str, service: str) -> None:
    async with open_channel(address, token=token) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            try:
                answer = await stub.Check(request, timeout=START_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(0.01)
    raise SystemExit(f"{service} does not serve within {START_S:g} s")


def _processor_s(pid: int) -> float:
    """Processor time of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def rows_of(name: str, starts: list[Start]) -> Iterator[Row]:
    """The medians of some starts."""
    wall_s = statistics.median(start.wall_s for start in starts)
    processor_s = statistics.median(start.processor_s for start in starts)
    yield Row(name=f"start of {name}", value=wall_s, unit="s", target=3, better="lower")
    yield Row(name=f"start of {name}, processor", value=processor_s, unit="s", better="lower")


def measured(scratch: Path) -> Iterator[Row]:
    """Start everything some times."""
    folders = [scratch / str(number) for number in range(REPEATS)]
    executions: list[Start] = []
    for folder in folders:
        folder.mkdir()
        with started(EXECUTION, folder, "") as start:
            executions.append(start)
    yield from rows_of("execution", executions)
    for name in ("buffer, new database", "buffer"):
        yield from rows_of(name, [_once(BUFFER, folder, "") for folder in folders])
    with started(EXECUTION, folders[0], "") as execution:
        for case in CASES:
            starts = [_once(case, folder, execution.address) for folder in folders]
            yield from rows_of(case.name, starts)


def _once(case: Case, folder: Path, execution: str) -> Start:
    with started(case, folder, execution) as start:
        return start


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="zeroloop-bench-") as scratch:
        rows = list(measured(Path(scratch)))
    return 0 if write("starts", rows, notes=f"medians of {REPEATS} starts, each alone") else 1


if __name__ == "__main__":
    raise SystemExit(main())
