"""Keeps one sandbox working: its shifts, its replacement, what happens to work it loses."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from services.execution.flight import ResetImpossibleError, SandboxLostError
from services.execution.isolation.launch import Launcher
from services.execution.odd import OddRuns
from services.execution.reset_shift import ResetShift
from services.execution.sandbox import Sandbox
from services.execution.shift import StrictShift, Wear
from services.execution.work import Work

logger = logging.getLogger(__name__)

FAILED_STARTS_MAX = 3
"""In a row, with no sandbox working; then waiting work is given back as not executed."""

RESTART_DELAY_S = 0.1
RESTART_DELAY_MAX_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSize:
    """How much a pool does at once, and for how long with the same sandbox."""

    sandboxes: int = 2
    workers: int = 2
    """Per sandbox."""

    queue_runs_max: int = 8192
    """Runs that may wait; the largest message has 4,096."""

    recycle_runs: int = 10_000
    """Runs in `strict` after which a sandbox is replaced."""

    recycle_growth: float = 0.1
    """Growth of a sandbox's memory after which it is replaced."""


@dataclass(slots=True)
class Fleet:
    """The sandboxes that work now; if there are none, why."""

    working: set[Sandbox] = field(default_factory=set[Sandbox])
    broken: str = ""
    failed_starts: int = 0
    replaced: int = 0


class Keeper:
    """Runs `Work` in one sandbox after another."""

    def __init__(
        self,
        work: Work,
        fleet: Fleet,
        launcher: Launcher,
        folder: Path,
        size: PoolSize,
        odd: OddRuns,
    ) -> None:
        self._work = work
        self._fleet = fleet
        self._launcher = launcher
        self._folder = folder
        self._size = size
        self._odd = odd

    async def keep(self, sandbox: Sandbox | None) -> None:
        """Keep a sandbox working until cancelled, replacing it when it is lost or old."""
        while True:
            if sandbox is None:
                sandbox = await self._replacement()
            self._fleet.failed_starts = 0
            self._fleet.broken = ""
            self._fleet.working.add(sandbox)
            try:
                await self._work_in(sandbox)
            finally:
                self._fleet.working.discard(sandbox)
                await sandbox.close()
            self._fleet.replaced += 1
            lost = sandbox.lost.is_set()
            logger.info("sandbox_replaced", extra={"runs": sandbox.runs, "lost": lost})
            sandbox = None

    async def _work_in(self, sandbox: Sandbox) -> None:
        """Until it is lost or old."""
        wear = Wear(sandbox, self._size.recycle_runs, self._size.recycle_growth)
        strict = StrictShift(self._work, sandbox, wear)
        pulls = [strict.pull() for _ in range(self._size.workers)]
        if self._launcher.resets:
            pulls.append(
                ResetShift(self._work, sandbox, wear, self._odd, self._size.workers).pull()
            )
        workers = [asyncio.create_task(pull) for pull in pulls]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _replacement(self) -> Sandbox:
        delay_s = RESTART_DELAY_S
        while True:
            try:
                return await Sandbox.start(self._launcher, self._folder, workers=self._size.workers)
            except (SandboxLostError, ResetImpossibleError) as error:
                logger.warning("sandbox_start_failed", extra={"why": str(error)})
                self._fleet.failed_starts += 1
                if self._fleet.failed_starts >= FAILED_STARTS_MAX and not self._fleet.working:
                    self._fleet.broken = str(error)
                    self._work.fail_waiting(f"no sandbox works: {error}")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)
