"""The Execution service as a process: it starts, refuses, ends and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Isolation, Limits, Program
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "zeroloop.execution.v1.ExecutionService"
STARTED_S = 30.0
SEVEN = Program("def f(x): return x * 7", ("6",))


class Service:
    """A started service."""

    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.address_file = folder / "address"
        self.token_file = folder / "token"
        self.log = (folder / "log").open("w+")
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services.execution",
                f"--address-file={self.address_file}",
                f"--token-file={self.token_file}",
                f"--scratch-dir={folder / 'scratch'}",
                "--sandboxes=1",
                *flags,
            ],
            cwd=ROOT,
            stderr=self.log,
        )

    def wait_until_ready(self) -> float:
        """Return the seconds it took."""
        while not self.address_file.exists():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() - self.started_s < STARTED_S
            time.sleep(0.01)
        return time.monotonic() - self.started_s

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def channel(self) -> grpc.aio.Channel:
        return open_channel(
            self.address_file.read_text(), token=self.token_file.read_text().strip()
        )

    def sandbox_pids(self) -> list[int]:
        """All processes but the service itself that know its folder, their children included."""
        parents: dict[int, int] = {}
        named: set[int] = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    text = (entry / "stat").read_text()
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                parents[int(entry.name)] = int(text[text.rindex(")") + 2 :].split()[1])
                if os.fsencode(self.folder / "scratch") in command:
                    named.add(int(entry.name))
        named.discard(self.process.pid)
        while more := {pid for pid, parent in parents.items() if parent in named} - named:
            named |= more
        return sorted(named)

    def sandboxes_end(self) -> bool:
        """Whether all of them end by themselves, soon."""
        end_s = time.monotonic() + 10
        while self.sandbox_pids() and time.monotonic() < end_s:
            time.sleep(0.05)
        return self.sandbox_pids() == []


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "service")
    service.wait_until_ready()
    yield service
    service.process.kill()
    service.process.wait()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[ExecutionClient]:
    async with service.channel() as channel:
        yield ExecutionClient(channel)


async def test_programs_run_over_the_wire(client: ExecutionClient) -> None:
    [result] = [result async for result in client.execute([SEVEN])]

    assert (result.status, result.value) == (RunStatus.OK, "42")
    assert result.isolation is Isolation.GVISOR


async def test_a_passed_deadline_ends_the_program(
    service: Service, client: ExecutionClient
) -> None:
    loop = Program("def f():\n    while True: pass")
    with pytest.raises(UnavailableError, match="deadline"):
        _ = [r async for r in client.execute([loop] * 2, Limits(cpu_time_s=30), deadline_s=0.5)]

    started = time.monotonic()
    [result] = [result async for result in client.execute([SEVEN])]

    assert result.value == "42"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_it_ends_when_asked_and_leaves_nothing(
    service: Service, number: signal.Signals
) -> None:
    assert service.sandbox_pids()

    service.process.send_signal(number)

    assert service.process.wait(timeout=15) == 0
    assert service.sandbox_pids() == []
    assert list((service.folder / "scratch").iterdir()) == []


async def test_a_killed_service_leaves_no_process(
    service: Service, client: ExecutionClient
) -> None:
    busy = asyncio.create_task(
        anext(client.execute([Program("def f():\n    while True: pass")], Limits(cpu_time_s=60)))
    )
    await asyncio.sleep(0.5)
    assert service.sandbox_pids()

    service.process.kill()
    service.process.wait()
    busy.cancel()

    assert service.sandboxes_end()


async def test_the_next_service_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    first = Service(tmp_path / "service")
    first.wait_until_ready()
    first.process.kill()
    first.process.wait()
    left = list((first.folder / "scratch").iterdir())
    assert first.sandboxes_end()
    scratch = f"--scratch-dir={first.folder / 'scratch'}"

    second = Service(tmp_path / "second", scratch)
    second.wait_until_ready()
    now = list((first.folder / "scratch").iterdir())
    second.process.terminate()
    second.process.wait()

    assert len(left) == len(now) == 1
    assert left != now
    assert "null-netns" not in Path("/proc/mounts").read_text() or not left[0].exists()


async def test_health_is_a_program_that_ran(service: Service) -> None:
    async with service.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await stub.Check(request, timeout=5)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_it_starts_fast(tmp_path: Path) -> None:
    took_s: list[float] = []
    for attempt in range(3):
        service = Service(tmp_path / f"service-{attempt}")
        took_s.append(service.wait_until_ready())
        service.process.terminate()
        service.process.wait()
    print(f"\nexecution service ready after {min(took_s):.2f} s")

    # Beside other tests; `tests/bench/starts.py` has the target, 3 s on a quiet machine.
    assert min(took_s) < 6.0


def test_without_runsc_it_refuses_and_says_what_helps(tmp_path: Path) -> None:
    service = Service(tmp_path / "service", "--runsc=/nonexistent/runsc")

    assert service.process.wait(timeout=STARTED_S) == 64
    assert "no isolation" in service.output()
    assert "/nonexistent/runsc" in service.output()
    assert "tools/gvisor/install" in service.output()
    assert not service.address_file.exists()


def test_a_runsc_that_does_not_isolate_is_refused(tmp_path: Path) -> None:
    """It runs everything as an ordinary process of the host: the kernel gives it away."""
    fake = tmp_path / "runsc"
    fake.write_text(
        "#!/bin/sh\n"
        'case "$1" in --version) echo "runsc version fake"; exit;; flags) exit;; esac\n'
        'for word; do case "$word" in --bundle=*) bundle=${word#--bundle=};; esac; done\n'
        f'exec {sys.executable} -c "import json, os, sys; '
        "c = json.load(open(sys.argv[1])); "
        "os.chroot(c['root']['path']); os.chdir('/'); "
        "os.execve(c['process']['args'][0], c['process']['args'], "
        "dict(e.split('=', 1) for e in c['process']['env']))\" $bundle/config.json\n"
    )
    fake.chmod(0o755)

    service = Service(tmp_path / "service", f"--runsc={fake}")

    assert service.process.wait(timeout=STARTED_S) == 64
    assert "self-test failed" in service.output() or "sandbox ended" in service.output()


async def test_isolation_is_off_only_if_told_and_every_result_says_so(tmp_path: Path) -> None:
    service = Service(tmp_path / "service", "--isolation=unsafe", "--runsc=/nonexistent/runsc")
    service.wait_until_ready()
    async with service.channel() as channel:
        client = ExecutionClient(channel)
        [result] = [result async for result in client.execute([SEVEN])]
        capabilities = await client.get_capabilities()
    service.process.terminate()

    assert service.process.wait(timeout=15) == 0
    assert result.isolation is capabilities.isolation is Isolation.UNSAFE
    assert capabilities.platform == ""
    assert "isolation_is_off" in service.output()
