"""Keeps one sandbox working: its workers, its replacement, what happens to work it loses."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from services.execution.isolation.launch import SEEDS, Launcher
from services.execution.outcome import Outcome, compare, outcome_of
from services.execution.sandbox import RunNotStartedError, Sandbox, SandboxLostError
from services.execution.work import Finished, Job, Room, Work
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus

logger = logging.getLogger(__name__)

LOSSES_MAX = 2
"""A run that has cost so many sandboxes is given up: once lost, retried once elsewhere."""

FAILED_STARTS_MAX = 3
"""In a row, with no sandbox working; then waiting work is given back as not executed."""

RESTART_DELAY_S = 0.1
RESTART_DELAY_MAX_S = 10.0

WEIGHED_RUNS = 500
"""Runs between two looks at a sandbox's memory, and before the first, which is the measure."""

WEIGHT_SLACK_BYTES = 64 << 20
"""Growth that the Sentry's own garbage collector may make."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSize:
    """How much a pool does at once, and for how long with the same sandbox."""

    sandboxes: int = 2
    workers: int = 2
    """Per sandbox."""

    queue_runs_max: int = 8192
    """Runs that may wait; the largest message has 4,096."""

    recycle_runs: int = 10_000
    """Runs after which a sandbox is replaced."""

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
        self, work: Work, fleet: Fleet, launcher: Launcher, folder: Path, size: PoolSize
    ) -> None:
        self._work = work
        self._fleet = fleet
        self._launcher = launcher
        self._folder = folder
        self._size = size

    async def keep(self, sandbox: Sandbox | None) -> None:
        """Keep a sandbox working until cancelled, replacing it when it is lost or old."""
        while True:
            if sandbox is None:
                sandbox = await self._replacement()
            self._fleet.failed_starts = 0
            self._fleet.broken = ""
            self._fleet.working.add(sandbox)
            shift = _Shift(self._work, sandbox, self._size)
            workers = [asyncio.create_task(shift.pull()) for _ in range(self._size.workers)]
            try:
                await asyncio.gather(*workers)
            finally:
                self._fleet.working.discard(sandbox)
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                await sandbox.close()
            self._fleet.replaced += 1
            logger.info("sandbox_replaced", extra={"runs": sandbox.runs, "lost": shift.was_lost})
            sandbox = None

    async def _replacement(self) -> Sandbox:
        delay_s = RESTART_DELAY_S
        while True:
            try:
                return await Sandbox.start(self._launcher, self._folder, workers=self._size.workers)
            except SandboxLostError as error:
                logger.warning("sandbox_start_failed", extra={"why": str(error)})
                self._fleet.failed_starts += 1
                if self._fleet.failed_starts >= FAILED_STARTS_MAX and not self._fleet.working:
                    self._fleet.broken = str(error)
                    self._work.fail_waiting(f"no sandbox works: {error}")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)


class _Shift:
    """What the workers of one sandbox do while it lives."""

    def __init__(self, work: Work, sandbox: Sandbox, size: PoolSize) -> None:
        self._work = work
        self._sandbox = sandbox
        self._size = size
        self._room = Room()
        self._old = False
        self._weight_bytes: int | None = None
        self.was_lost = False

    async def pull(self) -> None:
        """One worker: take a job, run it, until the sandbox is lost or old."""
        lost = asyncio.create_task(self._sandbox.lost.wait())
        try:
            while not self._over():
                job = await self._next_job(lost)
                if job is None:
                    return
                if self._sandbox.lost.is_set():
                    await self._work.put_back(job)
                    continue
                if job.call.abandoned:
                    self._work.drop(job)
                    continue
                # Who has cost a sandbox runs alone, so that it costs no neighbour another.
                await self._room.enter(alone=job.losses > 0)
                try:
                    await self._do(job)
                finally:
                    await self._room.leave()
        finally:
            lost.cancel()

    def _over(self) -> bool:
        runs = self._sandbox.runs
        if self._sandbox.lost.is_set():
            self.was_lost = True
        elif runs >= self._size.recycle_runs:
            self._old = True
        elif runs and runs % WEIGHED_RUNS == 0 and not self._old:
            self._weigh()
        return self._old or self.was_lost

    def _weigh(self) -> None:
        now_bytes = self._sandbox.memory_bytes()
        if self._weight_bytes is None:
            self._weight_bytes = now_bytes
        most_bytes = self._weight_bytes * (1 + self._size.recycle_growth) + WEIGHT_SLACK_BYTES
        self._old = now_bytes > most_bytes

    async def _next_job(self, lost: asyncio.Task[bool]) -> Job | None:
        """The next job; None once the sandbox is lost."""
        getter = asyncio.create_task(self._work.get())
        try:
            await asyncio.wait((getter, lost), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            getter.cancel()
            raise
        if getter.done():
            return getter.result()
        getter.cancel()
        return None

    async def _do(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        job.call.running.add(task)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            self._work.fail(job, "the service is stopping")
            raise
        finally:
            job.call.running.discard(task)
        if task.cancelled():
            self._work.drop(job)
            return
        error = task.exception()
        if error is None:
            self._work.finish(job, task.result())
        elif isinstance(error, SandboxLostError | RunNotStartedError):
            await self._retry(job, str(error))
        else:
            self._work.fail(job, "internal error")
            raise error

    async def _retry(self, job: Job, why: str) -> None:
        job.losses += 1
        logger.warning("run_lost", extra={"losses": job.losses, "why": why})
        if job.losses < LOSSES_MAX:
            await self._work.put_back(job)
        else:
            self._work.fail(job, f"lost {job.losses} times: {why}")

    async def _run(self, job: Job) -> Finished:
        first = job.first or await self._run_once(job, SEEDS[0])
        if not job.paired or first.status in (RunStatus.TIMEOUT, RunStatus.NOT_EXECUTED):
            return Finished(first, Determinism.UNKNOWN)
        job.first = first
        second = await self._run_once(job, SEEDS[1])
        return Finished(first, compare(first, second))

    async def _run_once(self, job: Job, seed: int) -> Outcome:
        done = await self._sandbox.run(job.order, seed)
        return outcome_of(
            done, value_bytes=job.order.value_bytes, stdout_bytes=job.order.stdout_bytes
        )
