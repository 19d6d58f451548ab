"""Warm sandboxes and their workers: admission, retry, recycling, pairs, health."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.execution import selftest
from services.execution.isolation.launch import SEEDS, Launcher
from services.execution.outcome import Outcome, compare, not_executed, outcome_of
from services.execution.requests import check, order_of
from services.execution.sandbox import RunNotStartedError, Sandbox, SandboxLostError
from services.execution.work import Call, Finished, Job, Room, RunName, WorkQueue
from zeroloop.core.execution import Determinism, Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import OverloadedError, UnavailableError

logger = logging.getLogger(__name__)

LOSSES_MAX = 2
"""A run that has cost so many sandboxes is given up: once lost, retried once elsewhere."""

RESTARTS_MAX = 3
"""Failed starts in a row after which waiting work is given back as not executed."""

RESTART_DELAY_MAX_S = 10.0
RUN_GUESS_S = 0.02
"""For telling callers when to come back."""

PARSED_PER_TURN = 32
"""Inputs parsed before the event loop gets its turn."""


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


class Pool:
    """Runs programs in any free worker. Enter `running()` first."""

    def __init__(self, launcher: Launcher, folder: Path, size: PoolSize, image_digest: str) -> None:
        self._launcher = launcher
        self._folder = folder
        self._size = size
        self._image_digest = image_digest
        self._queue = WorkQueue()
        self._pending = 0
        self._broken = ""
        """Why no sandbox works; empty if one does."""

        self._sandboxes: set[Sandbox] = set()
        self._failed_starts = 0

    @property
    def broken(self) -> str:
        """Why no sandbox works at present; empty if one does."""
        return self._broken

    @property
    def pending(self) -> int:
        """Runs that wait or are under way."""
        return self._pending

    @property
    def sandboxes(self) -> frozenset[Sandbox]:
        """Those that take work now."""
        return frozenset(self._sandboxes)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Pool"]:
        """Start the sandboxes, prove their limits, keep them alive, end them.

        Raises:
            SandboxLostError: The first sandbox does not start.
            UnavailableError: A limit does not bite.
        """
        first = await self._start()
        try:
            await selftest.prove(
                first, isolation=self._launcher.isolation, workers=self._size.workers
            )
        except BaseException:
            await first.close()
            raise
        keepers = [
            asyncio.create_task(self._keep(first if index == 0 else None))
            for index in range(self._size.sandboxes)
        ]
        try:
            yield self
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            self._give_back("the service is stopping")

    async def execute(self, programs: Sequence[Program], limits: Limits) -> AsyncIterator[Result]:
        """Run every program on each of its inputs; yield each result as it finishes.

        Leaving the iteration early ends what still runs.

        Raises:
            InvalidRequestError: A size or limit is out of range.
            OverloadedError: The queue has no room for all of it; nothing was run.
            UnavailableError: No sandbox works; nothing was run.
        """
        call = Call()
        try:
            await self.submit(call, programs, limits)
            while call.unfinished:
                yield await self.next_result(call)
        finally:
            self.abandon(call)

    async def submit(self, call: Call, programs: Sequence[Program], limits: Limits) -> None:
        """Queue programs for `call`. Raises as `execute` does."""
        check(programs, limits)
        self._admit(sum(len(program.inputs) for program in programs))
        for number, program in enumerate(programs):
            for index, text in enumerate(program.inputs):
                if call.unfinished % PARSED_PER_TURN == 0:
                    await asyncio.sleep(0)
                self._pending += 1
                call.unfinished += 1
                order = order_of(program.source, text, limits)
                run = RunName(program.program_id or str(number), index)
                paired = program.check_determinism
                if isinstance(order, Outcome):
                    verdict = Determinism.YES if paired else Determinism.UNKNOWN
                    self._finish(call, run, Finished(order, verdict))
                else:
                    await self._queue.put(Job(call, run, order, paired))

    def _admit(self, runs: int) -> None:
        if self._broken:
            raise UnavailableError(f"no sandbox works: {self._broken}")
        workers = self._size.sandboxes * self._size.workers
        waiting = max(0, self._pending - workers)
        if waiting + runs > self._size.queue_runs_max + workers:
            raise OverloadedError(
                f"{waiting} runs are waiting, at most {self._size.queue_runs_max} may; "
                f"{runs} more do not fit",
                retry_after_s=max(1.0, self._pending * RUN_GUESS_S / workers),
            )

    async def next_result(self, call: Call) -> Result:
        """Wait for the next result of a call that has unfinished runs."""
        run, finished = await call.finished.get()
        call.unfinished -= 1
        outcome = finished.outcome
        return Result(
            program_id=run.program_id,
            input_index=run.input_index,
            status=outcome.status,
            value=outcome.value,
            type_name=outcome.type_name,
            message=outcome.message,
            detail=outcome.detail,
            stdout=outcome.stdout,
            stdout_truncated=outcome.stdout_truncated,
            cpu_time_s=outcome.cpu_time_s,
            wall_time_s=outcome.wall_time_s,
            peak_memory_bytes=outcome.peak_memory_bytes,
            determinism=finished.determinism,
            isolation=self._launcher.isolation,
            image_digest=self._image_digest,
        )

    def abandon(self, call: Call) -> None:
        """Nobody waits for `call` any more: end what runs of it, drop what waits."""
        call.abandoned = True
        for task in call.running:
            task.cancel()

    # Sandboxes.

    async def _start(self) -> Sandbox:
        return await Sandbox.start(self._launcher, self._folder, workers=self._size.workers)

    async def _keep(self, sandbox: Sandbox | None) -> None:
        """Keep one sandbox working for ever, replacing it when it is lost or old."""
        while True:
            if sandbox is None:
                sandbox = await self._restart()
            self._failed_starts = 0
            self._broken = ""
            self._sandboxes.add(sandbox)
            room = Room()
            pullers = [
                asyncio.create_task(self._pull(sandbox, room)) for _ in range(self._size.workers)
            ]
            try:
                await asyncio.gather(*pullers)
            finally:
                self._sandboxes.discard(sandbox)
                for puller in pullers:
                    puller.cancel()
                await asyncio.gather(*pullers, return_exceptions=True)
                await sandbox.close()
            logger.info("sandbox_replaced", extra={"runs": sandbox.runs})
            sandbox = None

    async def _restart(self) -> Sandbox:
        delay_s = 0.1
        while True:
            try:
                return await self._start()
            except SandboxLostError as error:
                logger.exception("sandbox_start_failed")
                self._failed_starts += 1
                if self._failed_starts >= RESTARTS_MAX and not self._sandboxes:
                    self._broken = str(error)
                    self._give_back(f"no sandbox works: {error}")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)

    def _give_back(self, reason: str) -> None:
        for job in self._queue.take_all():
            self._fail(job, reason)

    # Workers.

    async def _pull(self, sandbox: Sandbox, room: Room) -> None:
        """One worker: take a job, run it, until the sandbox is lost or old."""
        lost = asyncio.create_task(sandbox.lost.wait())
        try:
            while not sandbox.lost.is_set() and sandbox.runs < self._size.recycle_runs:
                job = await self._next_job(lost)
                if job is None:
                    return
                if job.call.abandoned:
                    self._pending -= 1
                    continue
                # Who has cost a sandbox runs alone, so that it costs no neighbour another.
                await room.enter(alone=job.losses > 0)
                try:
                    await self._work(sandbox, job)
                finally:
                    await room.leave()
        finally:
            lost.cancel()

    async def _next_job(self, lost: asyncio.Task[bool]) -> Job | None:
        getter = asyncio.create_task(self._queue.get())
        try:
            await asyncio.wait((getter, lost), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            getter.cancel()
            raise
        if getter.done():
            return getter.result()
        getter.cancel()
        return None

    async def _work(self, sandbox: Sandbox, job: Job) -> None:
        task = asyncio.create_task(self._run(sandbox, job))
        job.call.running.add(task)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:  # the pool is stopping
            task.cancel()
            self._fail(job, "the service is stopping")
            raise
        finally:
            job.call.running.discard(task)
        if task.cancelled():
            self._pending -= 1
            return
        error = task.exception()
        if error is None:
            self._finish(job.call, job.run, task.result())
        elif isinstance(error, SandboxLostError | RunNotStartedError):
            await self._retry(job, str(error))
        else:
            self._fail(job, "internal error")
            raise error

    async def _retry(self, job: Job, why: str) -> None:
        job.losses += 1
        logger.warning("run_lost", extra={"losses": job.losses, "why": why})
        if job.losses < LOSSES_MAX and not self._broken:
            await self._queue.put_first(job)
        else:
            self._fail(job, f"lost {job.losses} times: {why}")

    async def _run(self, sandbox: Sandbox, job: Job) -> Finished:
        first = job.first or await self._run_once(sandbox, job, SEEDS[0])
        if first.status is RunStatus.TIMEOUT:
            self._queue.remember_timeout(job)
        if not job.paired or first.status in (RunStatus.TIMEOUT, RunStatus.NOT_EXECUTED):
            return Finished(first, Determinism.UNKNOWN)
        job.first = first
        second = await self._run_once(sandbox, job, SEEDS[1])
        return Finished(first, compare(first, second))

    async def _run_once(self, sandbox: Sandbox, job: Job, seed: int) -> Outcome:
        done = await sandbox.run(job.order, seed)
        return outcome_of(
            done, value_bytes=job.order.value_bytes, stdout_bytes=job.order.stdout_bytes
        )

    def _fail(self, job: Job, reason: str) -> None:
        self._finish(job.call, job.run, Finished(not_executed(reason), Determinism.UNKNOWN))

    def _finish(self, call: Call, run: RunName, finished: Finished) -> None:
        self._pending -= 1
        call.finished.put_nowait((run, finished))
