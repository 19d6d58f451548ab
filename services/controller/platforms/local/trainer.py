"""The trainer of one run as a child process, attempt by attempt."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.controller.decide import Trainer
from services.controller.platforms.local.commands import Commands
from services.controller.platforms.local.keeper import PAUSE_MAX_S, PAUSE_MIN_S, OnDeath
from services.controller.platforms.local.process import EXIT_CONFIG, POLL_S, Process

EXIT_DONE = 0


class LocalTrainer:
    """Knows how the newest attempt stands. Failures count since the last progress."""

    def __init__(self, commands: Commands, on_death: OnDeath) -> None:
        self._commands = commands
        self._on_death = on_death
        self._process: Process | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._published = -1
        self._last_round = 0
        self._missing = ""
        self.failures = 0
        self.started_s = 0.0
        """How long the newest attempt took to be ready; 0 while it is not."""

        self.ended = asyncio.Event()

    @property
    def state(self) -> Trainer:
        """How the newest attempt stands."""
        if self._process is None:
            return Trainer.ABSENT
        match self._process.exit_code:
            case None:
                return Trainer.RUNNING
            case 0:
                return Trainer.ABSENT
            case code if code == EXIT_CONFIG:
                return Trainer.REFUSED
            case _:
                return Trainer.FAILED

    @property
    def problem(self) -> str:
        """Why the newest attempt ended badly, in its own words if it said why."""
        if self._process is None:
            return self._missing
        ended_badly = self.state in (Trainer.REFUSED, Trainer.FAILED)
        return self._process.last_words() if ended_badly else ""

    @property
    def pid(self) -> int:
        """Of the newest attempt, 0 if there was none."""
        return 0 if self._process is None else self._process.pid

    async def look(self, newest: Callable[[], Awaitable[int]]) -> None:
        """Compare it with the newest version that is published: progress forgives failures.

        Whoever ends well without having published all that it was started for has failed.
        """
        # Before the version: whoever has ended has published before.
        done = self._process is not None and self._process.exit_code == EXIT_DONE
        version = await newest()
        if version > self._published:
            self._published = version
            self.failures = 0
        if done and not 0 < self._last_round <= version:
            self._process, self._missing = None, f"weights v{version + 1} are not published"
            self.failures += 1
            self._on_death("trainer", EXIT_DONE, self._missing)

    async def ensure(self, buffer: str, attempt: int, last_round: int = 0) -> None:
        """Run attempt number `attempt`, unless it runs or has ended already."""
        if self.state is Trainer.RUNNING or attempt < self.failures:
            return
        if attempt:
            await asyncio.sleep(min(PAUSE_MIN_S * 2**attempt, PAUSE_MAX_S))
        self.ended.clear()
        self.started_s, self._missing = 0.0, ""
        self._commands.trainer_ready_file.unlink(missing_ok=True)
        command = self._commands.trainer(buffer, attempt, last_round)
        self._process, self._last_round = await Process.start(command), last_round
        self._waiting = asyncio.create_task(self._wait(self._process))

    async def ready(self, limit_s: float) -> None:
        """Wait until it has loaded, has ended, or `limit_s` have passed."""
        process = self._process
        if process is None or self.started_s:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while process.exit_code is None:
                    if self._commands.trainer_ready_file.exists():
                        self.started_s = process.age_s
                        return
                    await asyncio.sleep(POLL_S)

    async def stop(self, grace_s: float) -> None:
        """End it; it goes on from its checkpoint the next time."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        if self._process is not None:
            await self._process.stop(grace_s)
            self._process = None

    async def _wait(self, process: Process) -> None:
        code = await process.wait()
        if code != EXIT_DONE:
            self.failures += 1
            self._on_death("trainer", code, process.last_words())
        self.ended.set()
