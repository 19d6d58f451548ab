"""The Inference service as a process of its own, with its engine's processes in sight."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zeroloop.client.channel import open_channel
from zeroloop.client.inference import InferenceClient, WeightsControlClient

TOKEN = "only for tests"
LISTEN_S = 60.0
LOAD_S = 240.0
SERVICE = "zeroloop.inference.v1.InferenceService"


def without_compiler(folder: Path) -> dict[str, str]:
    """This process's environment as on a machine that only runs the service."""
    own = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
    return {**os.environ, **own}


class InferenceProcess:
    """One running `python -m services.inference`."""

    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        token_file, self._address_file = folder / "token", folder / "address"
        token_file.write_text(TOKEN)
        token_file.chmod(0o600)
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "services.inference", "--exit-with-parent"),
                *("--address-file", str(self._address_file), "--token-file", str(token_file)),
                *("--telemetry-dir", str(folder / "telemetry"), *flags),
            ],
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            env=without_compiler(folder),
        )

    @property
    def address(self) -> str:
        return self._address_file.read_text()

    def wait_until_it_listens(self) -> None:
        wait_for(lambda: self._address_file.exists() or self._ended(), LISTEN_S)
        assert self.process.poll() is None, self.log.read_text()

    def core(self) -> int | None:
        """The process id of vLLM's core, if it lives."""
        for pid in descendants(self.process.pid):
            if "EngineCore" in command_of(pid) or "spawn_main" in command_of(pid):
                return pid
        return None

    def stop(self) -> int:
        """End it as a supervisor would; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator["Connection"]:
        """Open a channel to it."""
        async with open_channel(self.address, token=TOKEN) as channel:
            yield Connection(channel)

    def _ended(self) -> bool:
        return self.process.poll() is not None


class Connection:
    """Clients on one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.inference = InferenceClient(channel)
        self.weights = WeightsControlClient(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    async def is_serving(self) -> bool:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        reply = await self._health.Check(request, timeout=10)
        return reply.status == health_pb2.HealthCheckResponse.SERVING

    async def until(self, *, serving: bool) -> None:
        async with asyncio.timeout(LOAD_S):
            while await self.is_serving() is not serving:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


def wait_for(true: Callable[[], bool], timeout_s: float) -> None:
    """Return when `true()` is; fail after `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < give_up_at, f"not true after {timeout_s} s"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """Children of a process and theirs, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = parent_of(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        more = children.get(ahead.pop(), [])
        found += more
        ahead += more
    return found


def parent_of(pid: int) -> int | None:
    stat = stat_of(pid)
    return int(stat[1]) if stat else None


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    stat = stat_of(pid)
    return bool(stat) and stat[0] != "Z"


def cpu_s(pid: int) -> float:
    """Processor time that the process has used so far."""
    stat = stat_of(pid)
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def memory_bytes(pid: int) -> int:
    """Memory of the process that is resident now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def stat_of(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may contain spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
