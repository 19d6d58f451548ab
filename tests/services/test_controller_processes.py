"""Child processes of the local platform: kept up, ended with all that they started."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.controller.platforms.local.keeper import Keeper, Policy, State
from services.controller.platforms.local.process import Command, Process
from zeroloop.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PATIENT = Policy(start_limit_s=30.0)


def buffer_command(folder: Path, port: int, *flags: str) -> Command:
    address = folder / "address"
    return Command(
        name="buffer",
        arguments=[
            *(sys.executable, "-m", "services.buffer", f"--port={port}"),
            f"--address-file={address}",
            f"--token-file={folder / 'token'}",
            f"--database-url=sqlite:///{folder / 'buffer.db'}",
            "--drain-s=0.5",
            "--exit-with-parent",
            *flags,
        ],
        log=folder / "logs" / "buffer.log",
        address_file=address,
        environment=dict(os.environ),
        folder=ROOT,
    )


def script(folder: Path, text: str) -> Command:
    return Command(
        name="script",
        arguments=[sys.executable, "-c", textwrap.dedent(text)],
        log=folder / "script.log",
        environment=dict(os.environ),
        folder=folder,
    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int, limit_s: float = 5.0) -> bool:
    deadline_s = asyncio.get_running_loop().time() + limit_s
    while is_alive(pid):
        if asyncio.get_running_loop().time() > deadline_s:
            return False
        await asyncio.sleep(0.02)
    return True


async def until(happened: Callable[[], bool], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while not happened():  # noqa: ASYNC110  the condition is about processes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keeper.stop(3.0)


async def test_a_service_that_is_killed_comes_back_where_it_was(tmp_path: Path) -> None:
    deaths: list[tuple[str, int, str]] = []

    async def make(port: int) -> Command:
        return buffer_command(tmp_path, port)

    keeper = Keeper("buffer", make, PATIENT, lambda *death: deaths.append(death))
    async with kept(keeper):
        assert await keeper.settled() is State.READY
        address, first = keeper.address, keeper.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.pid != first and keeper.state is State.READY)

        assert keeper.address == address
        assert deaths == [("buffer", -signal.SIGKILL, "")]
        last = keeper.pid

    assert await gone(last)


async def test_a_wrong_setting_breaks_a_service_at_once_and_says_which(tmp_path: Path) -> None:
    async def make(port: int) -> Command:
        return buffer_command(tmp_path, port, "--connections-max=0")

    keeper = Keeper("buffer", make, PATIENT, lambda *_: None)
    async with kept(keeper):
        assert await keeper.settled() is State.BROKEN

    assert "connections_max" in keeper.problem


async def test_a_service_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async def make(port: int) -> Command:
        del port
        dying = script(tmp_path, "raise SystemExit(3)")
        return Command(
            name="dying",
            arguments=dying.arguments,
            log=dying.log,
            address_file=tmp_path / "never",
            environment=dying.environment,
            folder=tmp_path,
        )

    policy = Policy(start_limit_s=5.0, restarts_max=1)
    keeper = Keeper("dying", make, policy, lambda *_: None)
    async with kept(keeper):
        await until(lambda: keeper.state is State.BROKEN)

    assert "ended 2 times, last with code 3" in keeper.problem


async def test_a_child_that_does_not_listen_to_reason_is_ended_with_its_children(
    tmp_path: Path,
) -> None:
    process = await Process.start(
        script(
            tmp_path,
            """
            import signal, subprocess, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "600"])
            open("pid", "w").write(str(child.pid))
            time.sleep(600)
            """,
        )
    )
    pid_file = tmp_path / "pid"
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    grandchild = int(pid_file.read_text())

    async with asyncio.timeout(3):
        await process.stop(0.3)

    assert process.exit_code == -signal.SIGKILL
    assert await gone(grandchild)


async def test_what_a_child_leaves_behind_is_swept_when_it_ends(tmp_path: Path) -> None:
    process = await Process.start(
        script(
            tmp_path,
            """
            import subprocess
            child = subprocess.Popen(["sleep", "600"])
            open("pid", "w").write(str(child.pid))
            """,
        )
    )

    assert await process.wait() == 0

    assert await gone(int((tmp_path / "pid").read_text()))


async def test_a_program_that_does_not_exist_is_an_error_of_settings(tmp_path: Path) -> None:
    command = Command(name="ghost", arguments=["/no/such/program"], log=tmp_path / "log")

    with pytest.raises(ConfigError, match="cannot start ghost"):
        await Process.start(command)


async def test_services_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """The parent here is a process of its own, so that it can be killed without any notice."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(
            """
            import asyncio, sys
            from pathlib import Path
            from tests.services.test_controller_processes import buffer_command
            from services.controller.platforms.local.process import Process

            async def main(folder):
                process = await Process.start(buffer_command(folder, 0))
                await process.serving(30.0)
                (folder / "pid").write_text(str(process.pid))
                await asyncio.sleep(600)

            asyncio.run(main(Path(sys.argv[1])))
            """
        ),
        str(tmp_path),
        cwd=ROOT,
    )
    pid_file = tmp_path / "pid"
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    child = int(pid_file.read_text())
    assert is_alive(child)

    parent.kill()
    await parent.wait()

    assert await gone(child)
