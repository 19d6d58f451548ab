"""What a sandbox does in mode `reset` while it lives: many jobs are on their way at once."""

import asyncio
from collections.abc import Callable

from services.execution.flight import End
from services.execution.frames import Done
from services.execution.isolation.launch import SEEDS
from services.execution.odd import OddRuns
from services.execution.outcome import compare, outcome_of
from services.execution.sandbox import Sandbox
from services.execution.shift import Wear, retry, unless_lost
from services.execution.work import Finished, Job, Work
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

AT_ONCE = 64
"""Jobs in the sandbox, per worker and interpreter: a batch that runs, and one that waits."""

WORTH_WAKING_S = 0.01
"""If those that are awake will have done their work before, it is done sooner without another
sandbox: to wake one takes time from them. They have so long to begin."""

PATIENCE_S = 0.001
HANDFUL = 31
"""Jobs taken at a time, so that sandboxes share what waits."""


class _Ride:
    """A run that is on its way; cancelling calls it off."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.run_id = 0
        self._sandbox = sandbox

    def cancel(self) -> None:
        self._sandbox.call_off(self.run_id)


class ResetShift:
    """Feeds one sandbox."""

    def __init__(
        self, work: Work, sandbox: Sandbox, wear: Wear, odd: OddRuns, workers: int
    ) -> None:
        self._work = work
        self._sandbox = sandbox
        self._wear = wear
        self._odd = odd
        self._jobs_max = AT_ONCE * workers
        self._on_their_way: set[Job] = set()
        self._landed = asyncio.Event()

    async def pull(self) -> None:
        """Take jobs and run them until the sandbox is lost or old, and all have landed."""
        lost = asyncio.create_task(self._sandbox.lost.wait())
        try:
            while not self._wear.over():
                room = self._jobs_max - len(self._on_their_way)
                if room <= 0:
                    await self._one_landed()
                    continue
                await unless_lost(self._work.filled(Mode.RESET), lost)
                if self._may_sleep_on():
                    await asyncio.sleep(PATIENCE_S)
                for job in self._work.take_some(Mode.RESET, min(room, HANDFUL)):
                    self._begin(job)
                await asyncio.sleep(0)
            while self._on_their_way:
                await self._one_landed()
        except asyncio.CancelledError:
            for job in self._on_their_way:
                self._work.fail(job, "the service is stopping")
            self._work.resetting -= len(self._on_their_way)
            self._on_their_way.clear()
            raise
        finally:
            lost.cancel()

    def _may_sleep_on(self) -> bool:
        """Whether others do what waits sooner than we would."""
        busy_s = self._work.resetting * self._work.usual_run_s
        return not self._on_their_way and 0 < busy_s < WORTH_WAKING_S

    async def _one_landed(self) -> None:
        self._landed.clear()
        await self._landed.wait()

    def _begin(self, job: Job) -> None:
        if job.call.abandoned:
            self._work.drop(job)
            return
        if self._sandbox.lost.is_set():  # which this job has not cost us
            self._work.put_back(job)
            return
        self._on_their_way.add(job)
        self._work.resetting += 1
        self._submit(job, SEEDS[0])

    def _submit(self, job: Job, seed: int) -> None:
        ride = _Ride(self._sandbox)
        job.call.running.add(ride)
        self._wear.reset_runs += 1
        ride.run_id = self._sandbox.submit(job.order, seed, self._lander(job, ride))

    def _lander(self, job: Job, ride: _Ride) -> Callable[[End], None]:
        def land(end: End) -> None:
            job.call.running.discard(ride)
            if job not in self._on_their_way:  # given back when the service began to stop
                return
            if self._goes_on(job, end):
                self._submit(job, SEEDS[1])
                return
            self._on_their_way.discard(job)
            self._work.resetting -= 1
            self._landed.set()

        return land

    def _goes_on(self, job: Job, end: End) -> bool:
        """Deal with the end of a run; whether the other half of a pair is to follow."""
        if job.call.abandoned:
            self._work.drop(job)
            return False
        if not isinstance(end, Done):
            job.first = None
            retry(self._work, job, str(end))
            return False
        order = job.order
        outcome = outcome_of(
            end, value_bytes=order.value_bytes, stdout_bytes=order.stdout_bytes, mode=Mode.RESET
        )
        if self._odd.is_odd(outcome):
            self._odd.run_in_strict(job)
            return False
        if job.paired and job.first is None and outcome.status is not RunStatus.TIMEOUT:
            job.first = outcome
            return True
        determinism = compare(job.first, outcome) if job.first else Determinism.UNKNOWN
        finished = Finished(job.first or outcome, determinism)
        self._odd.check_some(job, finished)
        self._work.finish(job, finished)
        return False
