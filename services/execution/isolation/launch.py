"""Starting one sandbox: inside gVisor, or, if the operator insists, without any isolation.

gVisor is either started for each sandbox (`runsc run`), or it is there already, because the
service runs in a gVisor pod.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.execution.isolation import shut_in
from services.execution.isolation.image import PYTHON, RUNNER, Image
from services.execution.isolation.runsc import (
    Runsc,
    delete_command,
    environment,
    run_command,
    write_bundle,
)
from services.execution.yardstick import Yardstick
from zeroloop.core.execution import Isolation

SEEDS = (0, 1)
"""Hash seeds of a sandbox's two interpreters. Every single run uses the first."""

WORKER_UID = 65534
"""Worker n runs as this minus n, so that no run can look into a neighbour's process."""

FIRST_POD_ID = 1_000_000
"""In a pod, the sandboxes' users begin here: no file and no other process there has them."""

SANDBOXES_APART = 4096
"""Sandboxes one after the other, in a pod, before users are used again."""

END_S = 3.0
"""How long a sandbox may take to end by itself once its input is closed."""

_PYTHON_FLAGS = ["-P", "-s", "-S", "-B"]  # not -I, which would ignore the hash seed


@dataclass(frozen=True, slots=True)
class Launched:
    """A sandbox that is starting: its processes and their pipes."""

    process: asyncio.subprocess.Process
    name: str
    folder: Path
    yardstick: Yardstick | None = None
    """In a pod, where the clock alone cannot be believed."""


class Launcher(Protocol):
    """Makes sandboxes of one kind."""

    @property
    def isolation(self) -> Isolation: ...

    @property
    def platform(self) -> str: ...

    @property
    def runtime_version(self) -> str: ...

    @property
    def image(self) -> Image: ...

    @property
    def resets(self) -> bool:
        """Whether sandboxes are to offer mode `reset`."""
        ...

    @property
    def watched(self) -> bool:
        """Whether the processor time of its runs is watched from the host."""
        ...

    async def launch(self, name: str, folder: Path) -> Launched:
        """Start a sandbox called `name` that keeps its files in the empty `folder`."""
        ...

    async def end(self, launched: Launched) -> None:
        """Make sure that nothing of the sandbox is left, whatever state it is in."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """What a supervisor is told to offer."""

    preload: Sequence[str] = ()
    """Modules that every program finds imported."""

    workers: int = 0
    """Of mode `reset`, per interpreter; none without it."""

    memory_bytes: int = 512 << 20
    """Limit under which these are made in advance."""


STRICT_ALONE = Inside()


def supervisor_arguments(root: str, *, uid: int, own_clock: bool, inside: Inside) -> list[str]:
    """Python's command line for the supervisor, seen from inside `root`."""
    return [
        *_PYTHON_FLAGS,
        f"{root}/{RUNNER}/supervisor.pyc",
        f"seed={SEEDS[0]}",
        f"peer_seed={SEEDS[1]}",
        f"uid={uid}",
        f"own_clock={int(own_clock)}",
        f"preload={','.join(inside.preload)}",
        f"workers={inside.workers}",
        f"memory_bytes={inside.memory_bytes}",
    ]


class GvisorLauncher:
    """Starts sandboxes with `runsc run`."""

    isolation = Isolation.GVISOR
    watched = True

    def __init__(
        self, runsc: Runsc, image: Image, *, platform: str, inside: Inside = STRICT_ALONE
    ) -> None:
        self._runsc = runsc
        self._inside = inside
        self.resets = inside.workers > 0
        self.image = image
        self.platform = platform
        self.runtime_version = runsc.version

    async def launch(self, name: str, folder: Path) -> Launched:
        arguments = supervisor_arguments("", uid=WORKER_UID, own_clock=False, inside=self._inside)
        write_bundle(folder, self.image, arguments=arguments, seed=SEEDS[0])
        state = folder / "state"
        state.mkdir(mode=0o700)
        command = run_command(
            self._runsc, platform=self.platform, state=state, bundle=folder, name=name
        )
        return Launched(await spawn(command), name, folder)

    async def end(self, launched: Launched) -> None:
        if await _end(launched.process):
            command = delete_command(
                self._runsc, state=launched.folder / "state", name=launched.name
            )
            cleaner = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await cleaner.wait()


class PodLauncher:
    """Starts the supervisor as a child process, in the gVisor pod that the service runs in.

    It gets namespaces of its own in gVisor's kernel, so it sees as little of the pod as it would
    see of a host, and users that neither the service nor another sandbox has.
    """

    isolation = Isolation.GVISOR
    platform = "pod"
    watched = False

    def __init__(self, image: Image, *, kernel_release: str, inside: Inside = STRICT_ALONE) -> None:
        self._inside = inside
        self.resets = inside.workers > 0
        self._numbers = itertools.count()
        self.image = image
        self.runtime_version = kernel_release

    async def launch(self, name: str, folder: Path) -> Launched:
        first_id = FIRST_POD_ID + next(self._numbers) % SANDBOXES_APART * shut_in.IDS_EACH
        arguments = supervisor_arguments("", uid=WORKER_UID, own_clock=False, inside=self._inside)
        command = [
            *(sys.executable, "-I", "-S", shut_in.__file__),
            *(str(self.image.root), str(first_id), f"/{PYTHON}", *arguments),
        ]
        process = await spawn(command, _variables())
        try:
            yardstick = await Yardstick.start()
        except BaseException:
            await _end(process)
            raise
        return Launched(process, name, folder, yardstick)

    async def end(self, launched: Launched) -> None:
        await _end(launched.process)
        if launched.yardstick is not None:
            await launched.yardstick.end()


class UnsafeLauncher:
    """Starts the same supervisor as an ordinary process of the host.

    As root it is shut into the image by chroot and its workers change user; else nothing but
    resource limits and the system call filter stands between a program and the host.
    """

    isolation = Isolation.UNSAFE
    platform = ""
    watched = False
    runtime_version = ""

    def __init__(self, image: Image, *, inside: Inside = STRICT_ALONE) -> None:
        self._inside = inside
        self.resets = inside.workers > 0
        self.image = image

    async def launch(self, name: str, folder: Path) -> Launched:
        command = self._shut_in() if os.geteuid() == 0 else self._open()
        return Launched(await spawn(command, _variables()), name, folder)

    async def end(self, launched: Launched) -> None:
        await _end(launched.process)

    def _shut_in(self) -> list[str]:
        _ensure_null_device(self.image.root)
        arguments = supervisor_arguments("", uid=WORKER_UID, own_clock=True, inside=self._inside)
        chroot = shutil.which("chroot") or "/usr/sbin/chroot"
        return [chroot, str(self.image.root), f"/{PYTHON}", *arguments]

    def _open(self) -> list[str]:
        arguments = supervisor_arguments(
            str(self.image.root), uid=-1, own_clock=True, inside=self._inside
        )
        return [str(self.image.interpreter.executable), *arguments]


def _variables() -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in environment(SEEDS[0]))


def _ensure_null_device(root: Path) -> None:
    """gVisor has devices of its own; a chroot needs the host's."""
    device = root / "dev/null"
    with contextlib.suppress(FileExistsError):
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.chmod(0o666)


async def spawn(
    command: Sequence[str], variables: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a process with pipes, out of reach of the terminal."""
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
