"""Starting one sandbox: inside gVisor, or, if the operator insists, without any isolation."""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.execution.isolation.image import PYTHON, RUNNER, Image
from services.execution.isolation.runsc import (
    Runsc,
    delete_command,
    environment,
    run_command,
    write_bundle,
)
from zeroloop.core.execution import Isolation

SEEDS = (0, 1)
"""Hash seeds of a sandbox's two interpreters. Every single run uses the first."""

WORKER_UID = 65534
"""Worker n runs as this minus n, so that no run can look into a neighbour's process."""

END_S = 3.0
"""How long a sandbox may take to end by itself once its input is closed."""

_PYTHON_FLAGS = ["-P", "-s", "-S", "-B"]  # not -I, which would ignore the hash seed


@dataclass(frozen=True, slots=True)
class Launched:
    """A sandbox that is starting: its processes and their pipes."""

    process: asyncio.subprocess.Process
    name: str
    folder: Path


class Launcher(Protocol):
    """Makes sandboxes of one kind."""

    @property
    def isolation(self) -> Isolation: ...

    @property
    def platform(self) -> str: ...

    async def launch(self, name: str, folder: Path) -> Launched:
        """Start a sandbox called `name` that keeps its files in the empty `folder`."""
        ...

    async def end(self, launched: Launched) -> None:
        """Make sure that nothing of the sandbox is left, whatever state it is in."""
        ...


def supervisor_arguments(
    root: str, *, uid: int, own_clock: bool, preload: Sequence[str]
) -> list[str]:
    """Python's command line for the supervisor, seen from inside `root`."""
    return [
        *_PYTHON_FLAGS,
        f"{root}/{RUNNER}/supervisor.py",
        f"seed={SEEDS[0]}",
        f"peer_seed={SEEDS[1]}",
        f"uid={uid}",
        f"own_clock={int(own_clock)}",
        f"preload={','.join(preload)}",
    ]


class GvisorLauncher:
    """Starts sandboxes with `runsc run`."""

    isolation = Isolation.GVISOR

    def __init__(
        self, runsc: Runsc, image: Image, *, platform: str, preload: Sequence[str] = ()
    ) -> None:
        self._runsc = runsc
        self._image = image
        self._preload = preload
        self.platform = platform

    async def launch(self, name: str, folder: Path) -> Launched:
        arguments = supervisor_arguments("", uid=WORKER_UID, own_clock=False, preload=self._preload)
        write_bundle(folder, self._image, arguments=arguments, seed=SEEDS[0])
        state = folder / "state"
        state.mkdir(mode=0o700)
        command = run_command(
            self._runsc, platform=self.platform, state=state, bundle=folder, name=name
        )
        return Launched(await _spawn(command), name, folder)

    async def end(self, launched: Launched) -> None:
        if await _end(launched.process):
            command = delete_command(
                self._runsc, state=launched.folder / "state", name=launched.name
            )
            cleaner = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await cleaner.wait()


class UnsafeLauncher:
    """Starts the same supervisor as an ordinary process of the host.

    As root it is shut into the image by chroot and its workers change user; else nothing but
    resource limits and the system call filter stands between a program and the host.
    """

    isolation = Isolation.UNSAFE
    platform = ""

    def __init__(self, image: Image, *, preload: Sequence[str] = ()) -> None:
        self._image = image
        self._preload = preload

    async def launch(self, name: str, folder: Path) -> Launched:
        shut_in = os.geteuid() == 0
        arguments = supervisor_arguments(
            "" if shut_in else str(self._image.root),
            uid=WORKER_UID if shut_in else -1,
            own_clock=True,
            preload=self._preload,
        )
        root = self._image.root
        if shut_in:
            _ensure_null_device(root)
        python = f"/{PYTHON}" if shut_in else str(self._image.interpreter.executable)
        command = [python, *arguments]
        if shut_in:
            command = ["chroot", str(root), *command]
        variables = dict(entry.split("=", 1) for entry in environment(SEEDS[0]))
        if shut_in:
            command[0] = shutil.which("chroot") or "/usr/sbin/chroot"
        return Launched(await _spawn(command, variables), name, folder)

    async def end(self, launched: Launched) -> None:
        await _end(launched.process)


def _ensure_null_device(root: Path) -> None:
    """gVisor has devices of its own; a chroot needs the host's."""
    device = root / "dev/null"
    with contextlib.suppress(FileExistsError):
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.chmod(0o666)


async def _spawn(
    command: Sequence[str], variables: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=variables,
        # Ctrl-C goes to the service, which ends its sandboxes in order.
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> bool:
    """End a process by closing its input, or by SIGKILL; returns whether it took that."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return True
    return False
