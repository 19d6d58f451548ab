"""The trainer of one run as Kubernetes Jobs, one per attempt.

Nothing is remembered: the Jobs that exist tell how many attempts failed and when.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import JOBS, PODS, SERVICES, Api, Object
from services.controller.platforms.kubernetes.engines import unscheduled
from services.controller.platforms.kubernetes.workloads import ATTEMPT, Belonging, trainer_service
from zeroloop.errors import AlreadyExistsError, UnavailableError

logger = logging.getLogger(__name__)

REFUSED_REASON = "PodFailurePolicy"
"""Of a Job that ended because a pod said that starting again cannot help."""

MakeJob = Callable[[int], dict[str, Any]]
"""The Job of an attempt."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Job."""

    name: str
    number: int
    state: Trainer
    ended_at: datetime | None
    message: str
    leaving: bool
    """It is being deleted."""

    waits: bool
    """Some of its pods are not ready."""


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
        state,
        ended_at,
        message,
        "deletionTimestamp" in metadata,
        status.get("ready", 0) < job["spec"]["parallelism"],
    )


class KubernetesTrainer:
    """Starts and observes the attempts of one run."""

    def __init__(
        self, api: Api, belonging: Belonging, job: MakeJob, tell: Tell, *, since: datetime
    ) -> None:
        """Refusals before `since` are forgiven: somebody wants the run to be played again."""
        self._since = since
        self._api = api
        self._belonging = belonging
        self._job = job
        self._tell = tell
        self._attempts: list[Attempt] = []
        self._told: set[str] = set()
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

    async def look(self, progress_at: datetime | None) -> None:
        """Look at the Jobs.

        Args:
            progress_at: When the newest weights were published; earlier failures are forgiven.
        """
        self._progress_at = progress_at
        found = await self._api.list(JOBS, labels=self._belonging.select("trainer"))
        self._attempts = attempts_of(found["items"])
        self.waiting = ""
        for attempt in self._attempts:
            if attempt.state in (Trainer.FAILED, Trainer.REFUSED):
                await self._note_end(attempt)
            elif attempt.state is Trainer.RUNNING and attempt.waits:
                await self._note_waiting(attempt)

    async def ensure(self, failures: int) -> None:
        """Run one more attempt, unless one runs or more have failed than the caller knows."""
        await self.look(self._progress_at)
        if self.state is Trainer.RUNNING or failures < self.failures:
            return
        if any(attempt.leaving for attempt in self._attempts):
            raise UnavailableError("the Job before is still being deleted")
        number = self._attempts[-1].number + 1 if self._attempts else 0
        await self._api.apply(SERVICES, trainer_service(self._belonging))
        try:
            await self._api.create(JOBS, self._job(number))
        except AlreadyExistsError as error:
            raise UnavailableError(f"an older Job is in the way: {error}") from error
        await self.look(self._progress_at)

    async def stop(self) -> None:
        """End whatever runs; it goes on from its checkpoint the next time."""
        await self.look(self._progress_at)
        for attempt in self._attempts:
            if attempt.state is Trainer.RUNNING:
                await self._api.delete(JOBS, attempt.name, foreground=True)

    def _counts(self, attempt: Attempt) -> bool:
        if attempt.state is not Trainer.FAILED or attempt.ended_at is None:
            return False
        return self._progress_at is None or attempt.ended_at > self._progress_at

    async def _note_waiting(self, attempt: Attempt) -> None:
        self.waiting = unscheduled(await self._pods(attempt))
        told = f"{attempt.name} waits"
        if self.waiting and told not in self._told:
            self._told.add(told)
            self._tell(f"no node takes a trainer: {self.waiting}")

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
