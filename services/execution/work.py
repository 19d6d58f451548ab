"""Work that waits: calls, their jobs, and a queue that is fair between calls."""

import asyncio
import heapq
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.execution.frames import NOBODY, RunOrder
from services.execution.outcome import Outcome, not_executed
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

SUSPECTS_MAX = 4096
"""Programs remembered for having timed out."""

USUAL_RUN_S, SHORTEST_RUN_S = 0.01, 1e-4
SMOOTHING = 0.05
TURN_S = 0.001
"""In which a call's programs are read before others have a turn."""

SUSPECT_TURNS = 5_000
"""By how much their turn comes later: after the largest call that is waiting, yet not never."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a job."""

    outcome: Outcome
    determinism: Determinism
    cached: bool = False


class Cancellable(Protocol):
    """Something under way."""

    def cancel(self) -> object:
        """End it early, some time soon."""
        ...


class RunName(NamedTuple):
    """Which run of a call."""

    program_id: str
    input_index: int


class Call:
    """One caller's jobs and the results that are ready for it."""

    def __init__(self, tenant: bytes = NOBODY) -> None:
        self.tenant = tenant
        self.finished: asyncio.Queue[tuple[RunName, Finished] | None] = asyncio.Queue()
        """None says that no more will be asked for."""

        self.unfinished = 0
        """Runs asked for whose results the caller has not taken."""

        self.reserved = 0
        """Runs admitted that are no jobs yet."""

        self._taken = asyncio.Event()
        self._others_at_s = time.monotonic() + TURN_S
        self.turn = 0.0
        """Of the last job queued; see `Work`."""

        self.abandoned = False
        self.running: set[Cancellable] = set()

    async def room_for(self, runs_max: int) -> None:
        """Wait until fewer runs are unfinished; give others a turn now and then."""
        if time.monotonic() >= self._others_at_s:
            await asyncio.sleep(0)
            self._others_at_s = time.monotonic() + TURN_S
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
        for run in list(self.running):
            run.cancel()


@dataclass(slots=True, eq=False)
class Job:
    """One run of one program on one input, and perhaps its twin."""

    call: Call
    run: RunName
    order: RunOrder
    paired: bool
    mode: Mode = Mode.STRICT
    """In which it is to run next."""

    cache_key: bytes = b""
    """Under which the result may be kept; empty: under none."""

    first: Outcome | None = None
    """Set once the first half of a pair is done."""

    losses: int = 0
    """Sandboxes that were lost with it."""


class Lane:
    """Jobs for one mode, by turn."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, turn: float, job: Job) -> None:
        heapq.heappush(self._heap, (turn, next(self._order), job))
        self._filled.set()

    def pop(self) -> tuple[float, Job]:
        turn, _, job = heapq.heappop(self._heap)
        return turn, job

    async def filled(self) -> None:
        """Wait until there is a job."""
        while not self._heap:
            self._filled.clear()
            await self._filled.wait()


class Work:
    """Jobs in the order in which workers take them, and the way back for their results.

    Each call's jobs get turns one after the other, beginning at the present turn, so that a call
    of one program does not wait behind a call of thousands. Programs that have timed out before
    block a worker each: they come late, and in `strict`, whose workers have little else to do.
    """

    def __init__(
        self, clock: Callable[[], float], keep: Callable[[bytes, Finished], None] | None = None
    ) -> None:
        """`keep` is given each result that may be of use again, with its key."""
        self._keep = keep
        self._lanes = {mode: Lane() for mode in Mode}
        self._turn = 0.0
        self._suspects: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()
        self._clock = clock
        self.pending = 0
        """Runs that were admitted and have not ended, whether they are jobs yet or not."""

        self.resetting = 0
        """Jobs that are on their way in sandboxes, in mode `reset`."""

        self.usual_run_s = USUAL_RUN_S
        """How long runs in `reset` take these days, by the wall."""

        self.finished_s = clock()
        """When a program last ran to its end."""

    def put(self, job: Job) -> None:
        """Queue a new job, which is pending already."""
        job.call.turn = max(job.call.turn, self._turn) + 1
        late = 0
        if (job.order.tenant, job.order.source) in self._suspects:
            late = SUSPECT_TURNS
            job.mode = Mode.STRICT
        self._lanes[job.mode].push(job.call.turn + late, job)

    def put_back(self, job: Job) -> None:
        """Queue a job again whose turn has come before."""
        self._lanes[job.mode].push(0.0, job)

    def waiting(self, mode: Mode) -> int:
        """How many jobs nobody has taken."""
        return len(self._lanes[mode])

    async def get(self, mode: Mode = Mode.STRICT) -> Job:
        """Wait for a job and take it."""
        await self._lanes[mode].filled()
        return self._take(mode)

    async def filled(self, mode: Mode) -> None:
        """Wait until there is a job."""
        await self._lanes[mode].filled()

    def take_some(self, mode: Mode, jobs_max: int) -> list[Job]:
        """Take as many jobs as there are now."""
        return [self._take(mode) for _ in range(min(jobs_max, len(self._lanes[mode])))]

    def _take(self, mode: Mode) -> Job:
        turn, job = self._lanes[mode].pop()
        if turn <= job.call.turn:  # a suspect's turn says nothing about the others'
            self._turn = max(self._turn, turn)
        return job

    def make_strict(self, tenant: bytes) -> None:
        """Let nothing of a tenant that waits run in `reset`."""
        lane = self._lanes[Mode.RESET]
        for turn, job in [lane.pop() for _ in range(len(lane))]:
            if job.order.tenant == tenant:
                job.mode = Mode.STRICT
            self._lanes[job.mode].push(turn, job)

    def finish(self, job: Job, finished: Finished) -> None:
        """Hand a result to its call."""
        self.pending -= 1
        if finished.outcome.status is not RunStatus.NOT_EXECUTED:
            self.finished_s = self._clock()
        if finished.outcome.mode is Mode.RESET:
            taken_s = max(finished.outcome.wall_time_s, SHORTEST_RUN_S)
            self.usual_run_s += SMOOTHING * (taken_s - self.usual_run_s)
        if finished.outcome.status is RunStatus.TIMEOUT:
            self._suspect(job.order)
        if self._keep is not None and job.cache_key:
            self._keep(job.cache_key, finished)
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
        for lane in self._lanes.values():
            while lane:
                self.fail(lane.pop()[1], reason)

    def _suspect(self, order: RunOrder) -> None:
        program = order.tenant, order.source
        self._suspects[program] = None
        self._suspects.move_to_end(program)
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
