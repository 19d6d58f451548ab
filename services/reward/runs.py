"""Running programs by the Execution service: batches, retries, and what cannot be run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from services.reward.domains.base import Executor
from zeroloop.core.execution import PROGRAMS_MAX, Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import OverloadedError, UnavailableError


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How hard to try before a run counts as not executed."""

    calls_max: int = 4
    """Calls of the Execution service at once."""

    attempts_max: int = 3
    """Calls that one run may take if the platform fails."""

    backoff_s: float = 0.5
    """Before the second attempt; doubles with each further one."""

    overload_waits_max: int = 120
    """Waits while the service is full, each as long as it asks for."""


@dataclass(eq=False, slots=True)
class _Job:
    """One program on its way. Done when every input has a result."""

    program: Program
    done: "asyncio.Future[list[Result]]"
    results: dict[int, Result] = field(default_factory=dict[int, Result])
    fault: str = ""

    def missing(self) -> list[int]:
        return [i for i in range(len(self.program.inputs)) if i not in self.results]

    def add(self, result: Result, index: int) -> None:
        if result.status is RunStatus.NOT_EXECUTED:
            self.fault = result.detail or "the platform did not say why"
            return
        self.results[index] = replace(result, input_index=index)
        if not self.missing() and not self.done.done():
            self.done.set_result([self.results[i] for i in range(len(self.program.inputs))])

    def give_up(self) -> None:
        """Fill what is missing: the platform failed, which says nothing about the program."""
        if self.done.done():
            return
        self.done.set_result(
            [
                self.results.get(index)
                or Result(
                    program_id="",
                    input_index=index,
                    status=RunStatus.NOT_EXECUTED,
                    detail=self.fault or "the Execution service gave no result",
                )
                for index in range(len(self.program.inputs))
            ]
        )


class RunPool:
    """Gathers programs into calls of up to 64, tries again, and hands results back.

    One pool serves one request: its limits, and its memory of runs that may be reused. Use it
    in `async with`; leaving it cancels what still runs.
    """

    def __init__(
        self, executor: Executor, limits: Limits, policy: RetryPolicy | None = None
    ) -> None:
        self._executor = executor
        self._limits = limits
        self._policy = policy or RetryPolicy()
        self._calls = asyncio.Semaphore(self._policy.calls_max)
        self._waiting: list[_Job] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[tuple[str, tuple[str, ...], bool], _Job] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(
        self,
        source: str,
        inputs: Sequence[str],
        *,
        check_determinism: bool = False,
        reuse: bool = False,
    ) -> list[Result]:
        """Run a program on each input; see `Runner`.

        With `reuse` the same program and inputs run once per pool; later results are marked
        `cached`. A run that was not executed is never reused.
        """
        if not inputs:
            return []
        key = (source, tuple(inputs), check_determinism)
        job = self._known.get(key) if reuse else None
        if job is not None:
            results = await asyncio.shield(job.done)
            return [replace(result, cached=True) for result in results]
        job = self._submit(Program(source, tuple(inputs), check_determinism=check_determinism))
        if reuse:
            self._known[key] = job
        results = await asyncio.shield(job.done)
        if any(result.status is RunStatus.NOT_EXECUTED for result in results):
            self._known.pop(key, None)
        return results

    def _submit(self, program: Program) -> _Job:
        loop = asyncio.get_running_loop()
        job = _Job(program, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._flush)  # after all that want to run something right now
        self._waiting.append(job)
        return job

    def _flush(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting[:PROGRAMS_MAX], self._waiting[PROGRAMS_MAX:]
            task = asyncio.get_running_loop().create_task(self._execute(jobs))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _execute(self, jobs: list[_Job]) -> None:
        try:
            for attempt in range(self._policy.attempts_max):
                if attempt:
                    await asyncio.sleep(self._policy.backoff_s * 2 ** (attempt - 1))
                jobs = await self._attempt(jobs)
                if not jobs:
                    return
            for job in jobs:
                job.give_up()
        except Exception as error:  # noqa: BLE001 (who waits for a result must see it)
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)

    async def _attempt(self, jobs: list[_Job]) -> list[_Job]:
        """Call the service once, waiting while it is full; return what has no result yet."""
        for _ in range(self._policy.overload_waits_max):
            try:
                async with self._calls:
                    await self._call(jobs)
            except OverloadedError as error:
                _blame(jobs, error)
                await asyncio.sleep(error.retry_after_s)
                continue
            except UnavailableError as error:
                _blame(jobs, error)
            break
        return [job for job in jobs if job.missing()]

    async def _call(self, jobs: list[_Job]) -> None:
        asked = {str(position): (job, job.missing()) for position, job in enumerate(jobs)}
        programs = [
            replace(job.program, program_id=name, inputs=tuple(job.program.inputs[i] for i in left))
            for name, (job, left) in asked.items()
            if left
        ]
        async for result in self._executor.execute(programs, self._limits):
            job, left = asked[result.program_id]
            job.add(result, left[result.input_index])


def _blame(jobs: list[_Job], error: UnavailableError) -> None:
    for job in jobs:
        job.fault = str(error)
