"""Playing one run: the controller as a child, its events on the screen, a clean end."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from zeroloop import aio
from zeroloop.cli.children import Child, last_words, start
from zeroloop.cli.folders import RunFolder
from zeroloop.cli.play.progress import (
    Progress,
    evaluation_line,
    round_line,
    seeds_line,
    services_line,
)
from zeroloop.cli.play.screen import Screen
from zeroloop.cli.settings import PlaySettings
from zeroloop.client.token import ensure_token
from zeroloop.core.runs import EventType, Phase, RunEvent
from zeroloop.errors import FailedPreconditionError, UnavailableError, ZeroloopError

LOG = "controller.log"

STOP_RUN_S = 3.5
"""How long the controller may take to end the run's services when the user stops it. It needs
about three seconds; cut off earlier, services would outlive this command by a moment."""

STOP_CONTROLLER_S = 1.0
"""How long it may take to end itself then, before everything is killed. Together with
STOP_RUN_S this keeps Ctrl-C under five seconds."""

CLOSE_S = 15.0
"""The same after a run that ended by itself: nobody waits, and telemetry is written out."""

LAST_EVENTS_S = 1.0
"""How long the last events of a run that has ended may take to arrive."""

WAITING = (Phase.DEGRADED, Phase.SUSPENDED)
"""A run goes no further until a person acts, and here is none."""

LOOK_S = 0.25
"""How often the run's status is looked at; it is already here, so this costs no call."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended."""

    folder: RunFolder
    phase: Phase
    round: int
    stage: str
    interrupted: bool
    message: str
    """Why, if the run did not complete."""


class Interrupts:
    """Ctrl-C and SIGTERM: the first one stops, the second one kills."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._child: Child | None = None

    def watch(self, child: Child) -> None:
        """Kill this one at the second signal."""
        self._child = child

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signal)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def _signal(self) -> None:
        if self.stop.is_set() and self._child is not None:
            self._child.kill()
        self.stop.set()


async def play(
    wanted: PlaySettings,
    resumed: RunFolder | None,
    *,
    checkout: Path,
    progress: Progress,
    show: Screen,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """Play a run until it ends or the user stops it; leave no process behind.

    Args:
        wanted: What to play; of a resumed run only `rounds` counts.
        resumed: The run to go on with, None for a new one.
        checkout: Where the services are.
        progress: Kept up to date for the screen.
        show: Where lines go.
        clock: Monotonic seconds.
    """
    runs_dir = (resumed.path.parent if resumed else Path(wanted.runs_dir)).resolve()
    token = ensure_token()
    with Interrupts() as interrupts, _desk(runs_dir) as desk:
        flags = ["--port", "0", "--runs-folder", str(runs_dir), "--telemetry-dir", str(desk)]
        flags += ["--drain-s", "0.5"]
        child = await start("controller", checkout, flags, desk / LOG)
        interrupts.watch(child)
        try:
            async with aio.connect(child.address, token, ca_file="") as client:
                run = await _begin(client, wanted, resumed)
                folder = RunFolder(runs_dir / run.name)
                child = replace(child, log=_clear(desk, folder))
                session = _Session(client, run, progress, show, clock)
                message = await session.follow(child, interrupts.stop)
        finally:
            await child.stop(STOP_CONTROLLER_S if interrupts.stop.is_set() else CLOSE_S)
    return Ended(
        folder=folder,
        phase=run.phase,
        round=progress.round,
        stage=progress.stage,
        interrupted=interrupts.stop.is_set(),
        message=message,
    )


async def _begin(client: aio.Client, wanted: PlaySettings, resumed: RunFolder | None) -> aio.Run:
    if resumed is None:
        return await client.runs.create(
            model=wanted.model,
            rounds=wanted.rounds,
            preset=wanted.preset_in_force,
            seed=wanted.seed,
            name=wanted.name,
            settings=wanted.settings,
            heldout=wanted.heldout,
        )
    return await client.runs.resume(resumed.name, rounds=wanted.rounds)


@contextlib.contextmanager
def _desk(runs_dir: Path) -> Generator[Path]:
    """A folder for what the controller writes before the run has one.

    It is on the same disk, so that files can be moved while they are written. Of a run that
    was refused nothing stays: its error says why.
    """
    desk = runs_dir / f".controller-{os.getpid()}"
    try:
        yield desk
    finally:
        shutil.rmtree(desk, ignore_errors=True)
        with contextlib.suppress(OSError):
            runs_dir.rmdir()  # Only if it is empty.


def _clear(desk: Path, folder: RunFolder) -> Path:
    """Move what the controller writes into the run's folder, which it does not notice.

    Returns:
        Where its log is now.
    """
    # Its spans it keeps there by itself.
    for path in desk.glob("metrics-*.jsonl"):
        path.rename(_free(folder.telemetry, path))
    return (desk / LOG).rename(_free(folder.logs, desk / LOG))


def _free(folder: Path, file: Path) -> Path:
    """A name like that of `file` which `folder`, of a run that was resumed, does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    suffixes = ("" if n == 1 else f"-{n}" for n in itertools.count(1))
    names = (f"{file.stem}{suffix}{file.suffix}" for suffix in suffixes)
    return next(path for name in names if not (path := folder / name).exists())


class _Session:
    """Follows one run's events."""

    def __init__(
        self,
        client: aio.Client,
        run: aio.Run,
        progress: Progress,
        show: Screen,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._run = run
        self._progress = progress
        self._show = show
        self._clock = clock

    async def follow(self, child: Child, stop: asyncio.Event) -> str:
        """Show events until the run ends or gets stuck, or the user stops it; return why.

        Raises:
            UnavailableError: The controller died; the message has its last words.
        """
        watching = asyncio.create_task(self._watch())
        dying = asyncio.create_task(child.process.wait())
        others: list[asyncio.Task[Any]] = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(self._stuck()),
        ]
        tasks: list[asyncio.Task[Any]] = [watching, dying, *others]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                self._show.say("stopping …")
                await self._stop_run()
                return ""
            if dying.done():
                raise UnavailableError(
                    f"the controller ended with exit code {child.process.returncode}; the end of "
                    f"its log:\n{last_words(child.log)}"
                )
            await asyncio.wait([watching], timeout=LAST_EVENTS_S)
            if watching.done():
                watching.result()
            return await self._why()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        async for event in self._run.watch():
            self._progress.see(event, self._clock())
            self._tell(event)
            if event.type is EventType.ROUND:
                await self._look_at_newest()

    async def _stuck(self) -> None:
        """Show which stage is played; return when the run has ended or waits for a person."""
        while not self._run.phase.ended and self._run.phase not in WAITING:
            self._progress.enter(self._run.round, self._run.stage, self._clock())
            await asyncio.sleep(LOOK_S)

    def _tell(self, event: RunEvent) -> None:
        if event.type is EventType.WARNING:
            self._show.say(event.message, warning=True)
            return
        line = ""
        if event.type is EventType.ROUND:
            line = round_line(event, self._run.rounds) if event.round else seeds_line(event)
        elif event.type is EventType.EVALUATION:
            line = evaluation_line(event)
        elif event.type is EventType.STATE:
            line = services_line(event)
        if line:
            self._show.say(line)

    async def _look_at_newest(self) -> None:
        """Fetch the newest task for the display; without it the display does as well."""
        with contextlib.suppress(ZeroloopError):
            newest = await self._client.tasks.list(run=self._run.name, limit=1)
            self._progress.newest = newest[0] if newest else None

    async def _stop_run(self) -> None:
        with contextlib.suppress(ZeroloopError, TimeoutError):
            await asyncio.wait_for(self._run.stop(resumable=True), STOP_RUN_S)

    async def _why(self) -> str:
        with contextlib.suppress(UnavailableError):
            await self._run.refresh()
        if self._run.phase is Phase.COMPLETED:
            return ""
        told = [c.message for c in self._run.value.status.conditions if c.message and c.status]
        return told[-1] if told else f"the run is {self._run.phase}"


def rounds_when_resumed(folder: RunFolder, asked: int | None) -> int:
    """How many rounds a resumed run shall have in all.

    Without being asked, a run that has played all of its rounds plays as many again.

    Raises:
        FailedPreconditionError: It would have to forget rounds.
    """
    run = folder.load()
    if asked is None:
        return run.spec.rounds * (2 if run.status.phase is Phase.COMPLETED else 1)
    if asked < run.status.round:
        raise FailedPreconditionError(
            f"run {run.name} has come to round {run.status.round}; --rounds counts all rounds and "
            f"must not be below that, got {asked}"
        )
    return asked
