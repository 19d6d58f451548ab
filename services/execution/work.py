"""Work that waits: calls, their jobs, and a queue that is fair between calls."""

import asyncio
import heapq
import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from services.execution.frames import RunOrder
from services.execution.outcome import Outcome
from zeroloop.core.execution import Determinism

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
        self.finished: asyncio.Queue[tuple[RunName, Finished]] = asyncio.Queue()
        self.unfinished = 0
        self.turn = 0.0
        """Of the last job queued; see `WorkQueue`."""

        self.abandoned = False
        self.running: set[asyncio.Task[Finished]] = set()


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


class WorkQueue:
    """Jobs in the order in which workers take them.

    Each call's jobs get turns one after the other, beginning at the present turn, so that a call
    of one program does not wait behind a call of thousands. Programs that have timed out before
    come last: they block a worker each.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._turn = 0.0
        self._arrived = asyncio.Condition()
        self._suspects: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heap)

    async def put(self, job: Job) -> None:
        job.call.turn = max(job.call.turn, self._turn) + 1
        late = SUSPECT_TURNS if job.order.source in self._suspects else 0
        await self._push(job, job.call.turn + late)

    async def put_first(self, job: Job) -> None:
        """For a job whose turn has come before."""
        await self._push(job, 0.0)

    async def _push(self, job: Job, turn: float) -> None:
        async with self._arrived:
            heapq.heappush(self._heap, (turn, next(self._order), job))
            self._arrived.notify()

    async def get(self) -> Job:
        """Wait for a job and take it."""
        async with self._arrived:
            while not self._heap:
                await self._arrived.wait()
            turn, _, job = heapq.heappop(self._heap)
            if turn <= job.call.turn:  # a suspect's turn says nothing about the others'
                self._turn = max(self._turn, turn)
            return job

    def take_all(self) -> list[Job]:
        """Empty the queue."""
        jobs = [job for *_, job in self._heap]
        self._heap.clear()
        return jobs

    def remember_timeout(self, job: Job) -> None:
        """This program times out; next time it comes last."""
        self._suspects[job.order.source] = None
        self._suspects.move_to_end(job.order.source)
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
