"""The trainer of one run as Kubernetes Jobs, one per attempt.

Nothing is remembered: the Jobs that exist tell how many attempts failed and when. A Job that is
complete is no failure: it has trained its segment of rounds.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import JOBS, PODS, SERVICES, Api, Object
from services.controller.platforms.kubernetes.engines import unscheduled
from services.controller.platforms.kubernetes.gang import Gang, judge
from services.controller.platforms.kubernetes.workloads import (
    ATTEMPT,
    LAST_ROUND,
    Belonging,
    trainer_service,
)
from zeroloop.core.batches import Weights
from zeroloop.errors import AlreadyExistsError, UnavailableError

logger = logging.getLogger(__name__)

REFUSED_REASON = "PodFailurePolicy"
"""Of a Job that ended because a pod said that starting again cannot help."""

MakeJob = Callable[[int, int], dict[str, Any]]
"""The Job of an attempt that ends with a round."""

Newest = Callable[[], Awaitable[Weights | None]]
"""The newest published weights, looked up."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Job."""

    name: str
    number: int
    last_round: int
    """With which it ends; 0: it does not."""

    state: Trainer
    """ABSENT: it is complete."""

    ended_at: datetime | None
    message: str
    leaving: bool
    """It is being deleted."""

    waits: bool
    """Some of its pods are not ready."""

    job: Object


def attempts_of(jobs: Sequence[Object]) -> list[Attempt]:
    """The attempts that Jobs stand for, oldest first."""
    return sorted((_attempt(job) for job in jobs), key=lambda attempt: attempt.number)


def _attempt(job: Object) -> Attempt:
    metadata, status = job["metadata"], job.get("status") or {}
    state, ended_at, message = Trainer.RUNNING, None, ""
    for condition in status.get("conditions") or ():
        if condition["status"] != "True" or condition["type"] not in ("Complete", "Failed"):
            continue
        ended_at = datetime.fromisoformat(condition["lastTransitionTime"])
        message = condition.get("message", "")
        if condition["type"] == "Complete":
            state = Trainer.ABSENT
        else:
            refused = condition.get("reason") == REFUSED_REASON
            state = Trainer.REFUSED if refused else Trainer.FAILED
    return Attempt(
        metadata["name"],
        int(metadata["labels"][ATTEMPT]),
        int(metadata["labels"].get(LAST_ROUND, 0)),
        state,
        ended_at,
        message,
        "deletionTimestamp" in metadata,
        status.get("ready", 0) < job["spec"]["parallelism"],
        job,
    )


def _judged(attempt: Attempt, published: int) -> Attempt:
    """An attempt in the light of the newest version that is published."""
    if attempt.state is not Trainer.ABSENT or 0 < attempt.last_round <= published:
        return attempt
    message = f"it is complete, but weights v{published + 1} are not published"
    return replace(attempt, state=Trainer.FAILED, message=message)


class KubernetesTrainer:
    """Starts and observes the attempts of one run."""

    def __init__(
        self,
        api: Api,
        belonging: Belonging,
        job: MakeJob,
        tell: Tell,
        *,
        since: datetime,
        patience: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make a trainer that starts nothing yet.

        Args:
            api: Where the Jobs are.
            belonging: Of the run.
            job: Makes the Job of an attempt.
            tell: Told of what a person should know.
            since: Refusals before are forgiven: somebody wants the run to be played again.
            patience: How long a Job may hold nodes for some of its pods only.
            now: The time.
        """
        self._now = now
        self._patience = patience
        self._since = since
        self._api = api
        self._belonging = belonging
        self._job = job
        self._tell = tell
        self._attempts: list[Attempt] = []
        self._told: set[str] = set()
        self._newest: Newest | None = None
        self._progress_at: datetime | None = None
        self.problem = ""
        self.waiting = ""
        """Why no node takes a pod of the newest attempt; empty if each has one."""

    @property
    def state(self) -> Trainer:
        """How the newest attempt stands, as last looked at."""
        living = [attempt for attempt in self._attempts if not attempt.leaving]
        if not living:
            return Trainer.ABSENT
        newest = living[-1]
        forgiven = newest.ended_at is not None and newest.ended_at < self._since
        refused = newest.state is Trainer.REFUSED
        return Trainer.FAILED if refused and forgiven else newest.state

    @property
    def failures(self) -> int:
        """Attempts that failed since the newest weights were published."""
        return sum(1 for attempt in self._attempts if self._counts(attempt))

    async def look(self, newest: Newest | None) -> None:
        """Look at the Jobs.

        Args:
            newest: Tells what is published: earlier failures are forgiven, and whoever ends well
                without having published its part has failed. None: it cannot be known now.
        """
        attempts, progress_at = await self._list(), None
        if newest is not None:
            # After the Jobs: whoever is complete has published before.
            weights = await newest()
            progress_at = weights.published_at if weights else None
            version = weights.version if weights else -1
            attempts = [_judged(attempt, version) for attempt in attempts]
        self._newest, self._progress_at, self._attempts = newest, progress_at, attempts
        self.waiting = ""
        for attempt in self._attempts:
            if attempt.state in (Trainer.FAILED, Trainer.REFUSED):
                await self._note_end(attempt)
            elif attempt.state is Trainer.RUNNING and attempt.waits:
                await self._note_waiting(attempt)

    async def ensure(self, failures: int, last_round: int = 0) -> None:
        """Run one more attempt, unless one runs or more have failed than the caller knows."""
        await self.look(self._newest)
        if self.state is Trainer.RUNNING or failures < self.failures:
            return
        if any(attempt.leaving for attempt in self._attempts):
            raise UnavailableError("the Job before is still being deleted")
        number = self._attempts[-1].number + 1 if self._attempts else 0
        await self._api.apply(SERVICES, trainer_service(self._belonging))
        try:
            await self._api.create(JOBS, self._job(number, last_round))
        except AlreadyExistsError as error:
            raise UnavailableError(f"an older Job is in the way: {error}") from error
        await self._clear()
        await self.look(self._newest)

    async def stop(self) -> None:
        """End whatever runs; it goes on from its checkpoint the next time."""
        for attempt in await self._list():
            if attempt.state is Trainer.RUNNING:
                await self._api.delete(JOBS, attempt.name, foreground=True)

    async def _list(self) -> list[Attempt]:
        found = await self._api.list(JOBS, labels=self._belonging.select("trainer"))
        return attempts_of(found["items"])

    async def _clear(self) -> None:
        """Forget the segments before the last one: a run may have more of them than a namespace
        may have Jobs, and what they did is in the run's events. Failed attempts stay."""
        complete = [attempt for attempt in self._attempts if attempt.state is Trainer.ABSENT]
        for attempt in complete[:-1]:
            await self._api.delete(JOBS, attempt.name)

    def _counts(self, attempt: Attempt) -> bool:
        if attempt.state is not Trainer.FAILED or attempt.ended_at is None:
            return False
        return self._progress_at is None or attempt.ended_at > self._progress_at

    async def _note_waiting(self, attempt: Attempt) -> None:
        pods = await self._pods(attempt)
        self.waiting = unscheduled(pods)
        if self.waiting:
            self._tell_once(attempt, f"no node takes a trainer: {self.waiting}")
        match judge(attempt.job, pods, self._now(), self._patience):
            case Gang.LET_GO:
                self._tell(
                    f"{attempt.name} lets go of its nodes, because not all of its pods have one"
                )
                await self._suspend(attempt, suspend=True)
            case Gang.TAKE_UP:
                await self._suspend(attempt, suspend=False)
            case Gang.REST:
                self.waiting = (
                    f"{attempt.name} found nodes for some of its pods only; it tries again"
                )
            case Gang.LEAVE:
                pass

    def _tell_once(self, attempt: Attempt, message: str) -> None:
        told = f"{attempt.name} waits"
        if told not in self._told:
            self._told.add(told)
            self._tell(message)

    async def _suspend(self, attempt: Attempt, *, suspend: bool) -> None:
        await self._api.merge(JOBS, attempt.name, {"spec": {"suspend": suspend}})

    async def _note_end(self, attempt: Attempt) -> None:
        if attempt.name in self._told:
            return
        self._told.add(attempt.name)
        why = await self._last_words(attempt) or attempt.message
        self.problem = f"{attempt.name}: {why}"
        self._tell(f"training Job {attempt.name} ended: {why}")

    async def _last_words(self, attempt: Attempt) -> str:
        """What the first pod that failed says of it."""
        for pod in await self._pods(attempt):
            for status in pod["status"].get("containerStatuses") or ():
                ended = status.get("state", {}).get("terminated")
                if ended and ended["exitCode"]:
                    words = (ended.get("message") or ended.get("reason", "")).strip()
                    return f"{pod['metadata']['name']} with code {ended['exitCode']}: {words}"
        return ""

    async def _pods(self, attempt: Attempt) -> Sequence[Object]:
        labels = {**self._belonging.select("trainer"), "job-name": attempt.name}
        return (await self._api.list(PODS, labels=labels))["items"]
