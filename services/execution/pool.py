"""The pool that callers see: admission, calls, results, health."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from services.execution import selftest
from services.execution.isolation.launch import Launcher
from services.execution.keeper import Fleet, Keeper, PoolSize
from services.execution.outcome import Outcome
from services.execution.requests import check, order_of
from services.execution.sandbox import Sandbox
from services.execution.work import Call, Finished, Job, RunName, Work
from zeroloop.core.execution import Determinism, Limits, Program, Result
from zeroloop.errors import OverloadedError, UnavailableError

RUN_GUESS_S = 0.02
"""For telling callers when to come back."""

CALL_RUNS_MAX = 256
"""Runs of one call that are jobs or results not yet taken: bounds what a slow reader costs."""

PROBE_S = 30.0
_PROBE = Program(selftest.KNOWN_PROGRAM, (selftest.KNOWN_INPUT,))


class Pool:
    """Runs programs in any free worker of any sandbox, within `running`."""

    def __init__(self, launcher: Launcher, folder: Path, size: PoolSize, image_digest: str) -> None:
        self._launcher = launcher
        self._folder = folder
        self._size = size
        self._image_digest = image_digest
        self._clock = asyncio.get_running_loop().time
        self._work = Work(self._clock)
        self.fleet = Fleet()

    @property
    def pending(self) -> int:
        """Runs that wait or are under way."""
        return self._work.pending

    @asynccontextmanager
    async def running(self, first: Sandbox) -> AsyncGenerator[None]:
        """Work with the `first` sandbox, start the others, keep all alive, end them."""
        keeper = Keeper(self._work, self.fleet, self._launcher, self._folder, self._size)
        sandboxes = [first, *[None] * (self._size.sandboxes - 1)]
        tasks = [asyncio.create_task(keeper.keep(sandbox)) for sandbox in sandboxes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._work.fail_waiting("the service is stopping")

    async def execute(self, programs: Sequence[Program], limits: Limits) -> AsyncGenerator[Result]:
        """Run every program on each of its inputs; yield each result as it finishes.

        Leaving the iteration early ends what still runs.

        Raises:
            InvalidRequestError: A size or limit is out of range.
            OverloadedError: The queue has no room for all of it; nothing was run.
            UnavailableError: No sandbox works; nothing was run.
        """
        check(programs, limits)
        call = Call()
        self._admit(call, programs)
        async with aclosing(self._results(call, self._submit(call, programs, limits))) as results:
            async for result in results:
                yield result

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits]]
    ) -> AsyncGenerator[Result]:
        """The same for programs that trickle in."""
        call = Call()

        async def submit() -> None:
            number = 0
            async for program, limits in programs:
                check([program], limits)
                self._admit(call, [program])
                await self._submit(call, [program], limits, number=number)
                number += 1

        async with aclosing(self._results(call, submit())) as results:
            async for result in results:
                yield result

    async def probe(self, quiet_s: float) -> bool:
        """Whether programs run. If none has for `quiet_s`, run one of known outcome."""
        if self.fleet.broken:
            return False
        if self._clock() - self._work.finished_s < quiet_s:
            return True
        try:
            async with asyncio.timeout(PROBE_S), aclosing(self.execute([_PROBE], Limits())) as runs:
                return [run.value async for run in runs] == [selftest.KNOWN_VALUE]
        except (TimeoutError, UnavailableError):
            return False

    async def _results(
        self, call: Call, submitting: Coroutine[Any, Any, None]
    ) -> AsyncGenerator[Result]:
        """Submit while handing out results; what goes wrong with the one ends the other."""
        submitter = asyncio.create_task(submitting)
        submitter.add_done_callback(lambda _: call.finished.put_nowait(None))
        try:
            while not submitter.done() or call.unfinished:
                item = await call.finished.get()
                if item is None:
                    submitter.result()  # raises what went wrong with a request
                else:
                    yield self._take(call, *item)
        finally:
            submitter.cancel()
            self._work.pending -= call.reserved
            call.abandon()

    async def _submit(
        self, call: Call, programs: Sequence[Program], limits: Limits, *, number: int = 0
    ) -> None:
        """Turn admitted runs into jobs, no faster than their results are taken."""
        runs = [
            (RunName(program.program_id or str(number + index), place), program, text)
            for index, program in enumerate(programs)
            for place, text in enumerate(program.inputs)
        ]
        for run, program, text in runs:
            await call.room_for(CALL_RUNS_MAX)
            order = order_of(program.source, text, limits)
            call.unfinished += 1
            if isinstance(order, Outcome):
                self._work.pending -= 1
                same = Determinism.YES if program.check_determinism else Determinism.UNKNOWN
                call.finished.put_nowait((run, Finished(order, same)))
            else:
                await self._work.put(Job(call, run, order, program.check_determinism))
            call.reserved -= 1

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
            image_digest=self._image_digest,
        )
