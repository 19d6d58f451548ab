"""Work that waits: calls, their jobs, and a queue that is fair between calls."""

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.execution.frames import RunOrder
from services.execution.outcome import Outcome, not_executed
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus

SUSPECTS_MAX = 4096
"""Programs remembered for having timed out."""

SUSPECT_TURNS = 5_000
"""By how much their turn comes later: after the largest call that is waiting, yet not never."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a job."""

    outcome: Outcome
    determinism: Determinism


class RunName(NamedTuple):
    """Which run of a call."""

    program_id: str
    input_index: int


class Call:
    """One caller's jobs and the results that are ready for it."""

    def __init__(self) -> None:
        self.finished: asyncio.Queue[tuple[RunName, Finished] | None] = asyncio.Queue()
        """None says that no more will be asked for."""

        self.unfinished = 0
        """Runs asked for whose results the caller has not taken."""

        self.reserved = 0
        """Runs admitted that are no jobs yet."""

        self._taken = asyncio.Event()
        self.turn = 0.0
        """Of the last job queued; see `Work`."""

        self.abandoned = False
        self.running: set[asyncio.Task[Finished]] = set()

    async def room_for(self, runs_max: int) -> None:
        """Wait until fewer runs are unfinished; give others a turn in any case."""
        await asyncio.sleep(0)
        while self.unfinished >= runs_max:
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> None:
        """The caller has taken a result."""
        self.unfinished -= 1
        self._taken.set()

    def abandon(self) -> None:
        """Nobody waits any more: end what runs, and let what waits be dropped."""
        self.abandoned = True
        for task in self.running:
            task.cancel()


@dataclass(slots=True)
class Job:
    """One run of one program on one input, and perhaps its twin."""

    call: Call
    run: RunName
    order: RunOrder
    paired: bool
    first: Outcome | None = None
    """Set once the first half of a pair is done."""

    losses: int = 0
    """Sandboxes that were lost with it."""


class Work:
    """Jobs in the order in which workers take them, and the way back for their results.

    Each call's jobs get turns one after the other, beginning at the present turn, so that a call
    of one program does not wait behind a call of thousands. Programs that have timed out before
    come late: they block a worker each.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._turn = 0.0
        self._arrived = asyncio.Condition()
        self._suspects: OrderedDict[bytes, None] = OrderedDict()
        self._clock = clock
        self.pending = 0
        """Runs that were admitted and have not ended, whether they are jobs yet or not."""

        self.finished_s = clock()
        """When a program last ran to its end."""

    async def put(self, job: Job) -> None:
        """Queue a new job, which is pending already."""
        job.call.turn = max(job.call.turn, self._turn) + 1
        late = SUSPECT_TURNS if job.order.source in self._suspects else 0
        await self._push(job, job.call.turn + late)

    async def put_back(self, job: Job) -> None:
        """Queue a job again whose turn has come before."""
        await self._push(job, 0.0)

    async def _push(self, job: Job, turn: float) -> None:
        async with self._arrived:
            heapq.heappush(self._heap, (turn, next(self._order), job))
            self._arrived.notify()

    async def get(self) -> Job:
        """Wait for a job and take it."""
        async with self._arrived:
            while not self._heap:
                try:
                    await self._arrived.wait()
                except asyncio.CancelledError:
                    self._arrived.notify()  # the call may have been for us
                    raise
            turn, _, job = heapq.heappop(self._heap)
            if turn <= job.call.turn:  # a suspect's turn says nothing about the others'
                self._turn = max(self._turn, turn)
            return job

    def finish(self, job: Job, finished: Finished) -> None:
        """Hand a result to its call."""
        self.pending -= 1
        if finished.outcome.status is not RunStatus.NOT_EXECUTED:
            self.finished_s = self._clock()
        if finished.outcome.status is RunStatus.TIMEOUT:
            self._suspect(job.order.source)
        job.call.finished.put_nowait((job.run, finished))

    def fail(self, job: Job, reason: str) -> None:
        """Give a job back as not executed."""
        self.finish(job, Finished(not_executed(reason), Determinism.UNKNOWN))

    def drop(self, job: Job) -> None:
        """Forget a job that nobody waits for."""
        self.pending -= 1
        job.call.take()

    def fail_waiting(self, reason: str) -> None:
        """Give every waiting job back as not executed."""
        waiting = [job for *_, job in self._heap]
        self._heap.clear()
        for job in waiting:
            self.fail(job, reason)

    def _suspect(self, source: bytes) -> None:
        self._suspects[source] = None
        self._suspects.move_to_end(source)
        if len(self._suspects) > SUSPECTS_MAX:
            self._suspects.popitem(last=False)


class Room:
    """Lets many in at a time, or one alone; who wants to be alone comes before the many."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._wanted_alone = 0
        self._alone = False

    async def enter(self, *, alone: bool) -> None:
        async with self._changed:
            self._wanted_alone += alone
            try:
                await self._changed.wait_for(lambda: self._free(alone=alone))
            finally:
                self._wanted_alone -= alone
            self._inside += 1
            self._alone = alone

    def _free(self, *, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._alone and not self._wanted_alone

    async def leave(self) -> None:
        async with self._changed:
            self._inside -= 1
            self._alone = False
            self._changed.notify_all()
