"""The pool that callers see: admission, calls, results, health."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from services.execution import selftest
from services.execution.cache import ResultCache, key_of
from services.execution.isolation.launch import Launcher
from services.execution.keeper import Fleet, Keeper, PoolSize
from services.execution.odd import OddRuns
from services.execution.outcome import Outcome
from services.execution.requests import check, check_mode, digest_of, order_of, repeated_id
from services.execution.sandbox import Sandbox
from services.execution.work import Call, Finished, Job, RunName, Work
from zeroloop.core.execution import Determinism, Limits, Mode, Program, Result
from zeroloop.errors import OverloadedError, UnavailableError

RUN_GUESS_S = 0.02
"""For telling callers when to come back."""

CALL_RUNS_MAX = 256
"""Runs of one call that are jobs or results not yet taken: bounds what a slow reader costs."""

RESET_CPU_S_MIN = 0.25
"""In `reset` the time before a run is watched counts as its own; under a limit below this, that
would be too much of it."""

PROBE_S = 30.0
_PROBE = Program(selftest.KNOWN_PROGRAM, (selftest.KNOWN_INPUT,))


class Pool:
    """Runs programs in any free worker of any sandbox, within `running`."""

    def __init__(
        self,
        launcher: Launcher,
        folder: Path,
        size: PoolSize,
        image_digest: str,
        cache: ResultCache,
    ) -> None:
        self._launcher = launcher
        self._folder = folder
        self._size = size
        self._image_digest = image_digest
        self._cache = cache
        self._clock = asyncio.get_running_loop().time
        self._work = Work(self._clock, cache.put)
        self._odd = OddRuns(self._work)
        self.fleet = Fleet()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Offered, best first."""
        return (Mode.RESET, Mode.STRICT) if self._launcher.resets else (Mode.STRICT,)

    @property
    def pending(self) -> int:
        """Runs that wait or are under way."""
        return self._work.pending

    @asynccontextmanager
    async def running(self, first: Sandbox) -> AsyncGenerator[None]:
        """Work with the `first` sandbox, start the others, keep all alive, end them."""
        keeper = Keeper(self._work, self.fleet, self._launcher, self._folder, self._size, self._odd)
        sandboxes = [first, *[None] * (self._size.sandboxes - 1)]
        tasks = [asyncio.create_task(keeper.keep(sandbox)) for sandbox in sandboxes]
        tasks.append(asyncio.create_task(self._odd.compare()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._work.fail_waiting("the service is stopping")

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """Run every program on each of its inputs; yield results as they finish.

        Those that are ready together come together: to hand on many takes no longer than one.
        Leaving the iteration early ends what still runs.

        Args:
            programs: What to run.
            limits: On each run.
            mode: One of `modes`; empty is the best.
            tenant: Whose programs they are; two tenants' share no worker and no cache.

        Raises:
            InvalidRequestError: A size or limit is out of range, or the mode is not offered.
            OverloadedError: The queue has no room for all of it; nothing was run.
            UnavailableError: No sandbox works; nothing was run.
        """
        check(programs, limits)
        wanted = check_mode(mode, self.modes)
        call = Call(digest_of(tenant))
        self._admit(call, programs)
        submitting = self._submit(call, programs, limits, wanted)
        async with aclosing(self._results(call, submitting)) as results:
            async for ready in results:
                yield ready

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """The same for programs that trickle in, each with its mode."""
        call = Call(digest_of(tenant))

        async def submit() -> None:
            number = 0
            names: set[str] = set()
            async for program, limits, mode in programs:
                check([program], limits)
                if (name := program.program_id or str(number)) in names:
                    raise repeated_id(name)
                names.add(name)
                wanted = check_mode(mode, self.modes)
                self._admit(call, [program])
                await self._submit(call, [program], limits, wanted, number=number)
                number += 1

        async with aclosing(self._results(call, submit())) as results:
            async for ready in results:
                yield ready

    async def probe(self, quiet_s: float) -> bool:
        """Whether programs run. If none has for `quiet_s`, run one of known outcome."""
        if self.fleet.broken:
            return False
        if self._clock() - self._work.finished_s < quiet_s:
            return True
        try:
            async with asyncio.timeout(PROBE_S), aclosing(self.execute([_PROBE], Limits())) as runs:
                values = [run.value async for ready in runs for run in ready]
                return values == [selftest.KNOWN_VALUE]
        except (TimeoutError, UnavailableError):
            return False

    async def _results(
        self, call: Call, submitting: Coroutine[Any, Any, None]
    ) -> AsyncGenerator[list[Result]]:
        """Submit while handing out results; what goes wrong with the one ends the other."""
        submitter = asyncio.create_task(submitting)
        submitter.add_done_callback(lambda _: call.finished.put_nowait(None))
        more_to_come = True
        try:
            while more_to_come or call.unfinished:
                ready = [await call.finished.get()]
                while not call.finished.empty():
                    ready.append(call.finished.get_nowait())
                if results := [self._take(call, *item) for item in ready if item is not None]:
                    yield results
                if None in ready:
                    more_to_come = False
                    submitter.result()  # raises what went wrong with a request
        finally:
            submitter.cancel()
            self._work.pending -= call.reserved
            call.abandon()

    async def _submit(
        self,
        call: Call,
        programs: Sequence[Program],
        limits: Limits,
        mode: Mode,
        *,
        number: int = 0,
    ) -> None:
        """Turn admitted runs into jobs, no faster than their results are taken."""
        runs = [
            (RunName(program.program_id or str(number + index), place), program, text)
            for index, program in enumerate(programs)
            for place, text in enumerate(program.inputs)
        ]
        for run, program, text in runs:
            await call.room_for(CALL_RUNS_MAX)
            order = order_of(program.source, text, limits, call.tenant)
            call.unfinished += 1
            if isinstance(order, Outcome):
                self._work.pending -= 1
                same = Determinism.YES if program.check_determinism else Determinism.UNKNOWN
                call.finished.put_nowait((run, Finished(order, same)))
            else:
                self._begin(Job(call, run, order, program.check_determinism, mode))
            call.reserved -= 1

    def _begin(self, job: Job) -> None:
        """Queue a job whose result is not known already."""
        job.cache_key = key_of(job.order, self._image_digest)
        known = self._cache.get(job.cache_key)
        if known is not None and (known.outcome.mode is Mode.STRICT or self._trusts_reset(job)):
            self._work.pending -= 1
            job.call.finished.put_nowait((job.run, known))
            return
        if not self._trusts_reset(job) or job.order.cpu_s < RESET_CPU_S_MIN:
            job.mode = Mode.STRICT
        self._work.put(job)

    def _trusts_reset(self, job: Job) -> bool:
        """Whether what was found in `reset` is good enough for this job."""
        return job.mode is Mode.RESET and job.order.tenant not in self._odd.distrusted

    def _admit(self, call: Call, programs: Sequence[Program]) -> None:
        """Reserve room in the queue for all of it, or for nothing."""
        if self.fleet.broken:
            raise UnavailableError(f"no sandbox works: {self.fleet.broken}")
        runs = sum(len(program.inputs) for program in programs)
        workers = self._size.sandboxes * self._size.workers
        waiting = max(0, self.pending - workers)
        if waiting + runs > self._size.queue_runs_max:
            raise OverloadedError(
                f"{waiting} runs are waiting and at most {self._size.queue_runs_max} may; "
                f"{runs} more do not fit: retry later, or with fewer",
                retry_after_s=max(1.0, self.pending * RUN_GUESS_S / workers),
            )
        self._work.pending += runs
        call.reserved += runs

    def _take(self, call: Call, run: RunName, finished: Finished) -> Result:
        call.take()
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
            mode=outcome.mode,
            image_digest=self._image_digest,
            cached=finished.cached,
        )
