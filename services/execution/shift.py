"""What the children of a sandbox do in mode `strict` while it lives: one job after the other."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.execution.flight import RunNotStartedError, SandboxLostError
from services.execution.isolation.launch import SEEDS
from services.execution.outcome import Outcome, compare, outcome_of
from services.execution.sandbox import Sandbox
from services.execution.work import Finished, Job, Room, Work
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOSSES_MAX = 2
"""A run that has cost so many sandboxes is given up: once lost, retried once elsewhere."""

WEIGHED_RUNS = 500
"""Runs between two looks at a sandbox's memory, and before the first, which is the measure. Runs
in `reset` count for a tenth: they hardly leave a trace."""

WEIGHT_SLACK_BYTES = 64 << 20
"""Growth that the Sentry's own garbage collector may make."""


def retry(work: Work, job: Job, why: str) -> None:
    """Run a job again, in `strict`, that was lost through no fault of its program's."""
    job.losses += 1
    logger.warning("run_lost", extra={"losses": job.losses, "why": why})
    if job.losses < LOSSES_MAX:
        job.mode = Mode.STRICT
        work.put_back(job)
    else:
        work.fail(job, f"lost {job.losses} times: {why}")


async def unless_lost(getting: Coroutine[Any, Any, T], lost: asyncio.Task[bool]) -> T | None:
    """What a queue gives; None once the sandbox is lost, and then nothing is taken from it."""
    getter = asyncio.create_task(getting)
    try:
        await asyncio.wait((getter, lost), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        getter.cancel()
        raise
    if getter.done():
        return getter.result()
    getter.cancel()
    return None


class Wear:
    """Whether a sandbox has served its time."""

    def __init__(self, sandbox: Sandbox, recycle_runs: int, recycle_growth: float) -> None:
        self._sandbox = sandbox
        self._recycle_runs = recycle_runs
        self._recycle_growth = recycle_growth
        self._weight_bytes: int | None = None
        self._weighed_at_runs = 0.0
        self._old = False
        self.reset_runs = 0

    def over(self) -> bool:
        """Whether it is lost or old."""
        runs = self._sandbox.runs + self.reset_runs / 10
        if self._sandbox.runs >= self._recycle_runs:
            self._old = True
        elif runs - self._weighed_at_runs >= WEIGHED_RUNS and not self._old:
            self._weighed_at_runs = runs
            self._weigh()
        return self._old or self._sandbox.lost.is_set()

    def _weigh(self) -> None:
        now_bytes = self._sandbox.memory_bytes()
        if self._weight_bytes is None:
            self._weight_bytes = now_bytes
        most_bytes = self._weight_bytes * (1 + self._recycle_growth) + WEIGHT_SLACK_BYTES
        self._old = now_bytes > most_bytes


class StrictShift:
    """Shared by the workers of one sandbox."""

    def __init__(self, work: Work, sandbox: Sandbox, wear: Wear) -> None:
        self._work = work
        self._sandbox = sandbox
        self._wear = wear
        self._room = Room()

    async def pull(self) -> None:
        """One worker: take a job, run it, until the sandbox is lost or old."""
        lost = asyncio.create_task(self._sandbox.lost.wait())
        try:
            while not self._wear.over():
                job = await unless_lost(self._work.get(), lost)
                if job is None:
                    return
                if self._sandbox.lost.is_set():
                    self._work.put_back(job)
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
            retry(self._work, job, str(error))
        else:
            self._work.fail(job, "internal error")
            raise error

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
