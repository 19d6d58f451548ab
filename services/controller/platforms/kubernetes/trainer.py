"""The trainer of one run: its attempts as objects of the cluster, one after the other.

Nothing is remembered: the objects that exist tell how many attempts failed and when. One that is
complete is no failure: it has trained its segment of rounds.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import PODS, Api, Object, UnknownKindError
from services.controller.platforms.kubernetes.engines import unscheduled
from services.controller.platforms.kubernetes.gang import Gang, judge
from services.controller.platforms.kubernetes.training_backends import (
    TRAINING_BACKENDS,
    Attempt,
    TrainingBackend,
    attempts_of,
)
from services.controller.platforms.kubernetes.training_objects import (
    JOB_TTL_S,
    QUEUE_LABEL,
    Order,
)
from services.controller.platforms.kubernetes.workloads import Belonging
from zeroloop.core.batches import Weights
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)

MakeOrder = Callable[[int, int], Order]
"""What an attempt that ends with a round is asked for with."""

Newest = Callable[[], Awaitable[Weights | None]]
"""The newest published weights, looked up."""

Tell = Callable[[str], None]

TAKE_UP_S = 30
"""How long the controller of an attempt's kind may take to say anything of it."""


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
        backend: TrainingBackend,
        order: MakeOrder,
        tell: Tell,
        *,
        since: datetime,
        patience: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make a trainer that starts nothing yet.

        Args:
            api: Where the attempts are.
            belonging: Of the run.
            backend: Who starts new attempts. Those of another one, from before an upgrade, are
                counted; one that runs is ended and followed by a new one.
            order: What an attempt is made from.
            tell: Told of what a person should know.
            since: Refusals before are forgiven: somebody wants the run to be played again.
            patience: How long an attempt may hold nodes for some of its pods only.
            now: The time.
        """
        self._now = now
        self._patience = patience
        self._since = since
        self._api = api
        self._belonging = belonging
        self._backend = backend
        self._seen = set(TRAINING_BACKENDS.values())
        """Those that may have attempts of this run. Nobody but this controller makes any, so the
        others are looked at until they have none."""

        self._is_missing = False
        self._order = order
        self._tell = tell
        self._attempts: list[Attempt] = []
        self._told: set[str] = set()
        self._newest: Newest | None = None
        self._progress_at: datetime | None = None
        self.problem = ""
        self.waiting = ""
        """Why the newest attempt does not get its pods, or nodes for them; empty if it may."""

    @property
    def state(self) -> Trainer:
        """How the newest attempt stands, as last looked at."""
        living = [attempt for attempt in self._attempts if not self._leaves(attempt)]
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
        """Look at the attempts.

        Args:
            newest: Tells what is published: earlier failures are forgiven, and whoever ends well
                without having published its part has failed. None: it cannot be known now.

        Raises:
            FailedPreconditionError: The cluster does not know what attempts are made of.
        """
        attempts, progress_at = await self._list(), None
        if self._is_missing:
            raise FailedPreconditionError(self._backend.missing)
        if newest is not None:
            # After the attempts: whoever is complete has published before.
            weights = await newest()
            progress_at = weights.published_at if weights else None
            version = weights.version if weights else -1
            attempts = [_judged(attempt, version) for attempt in attempts]
        self._newest, self._progress_at, self._attempts = newest, progress_at, attempts
        self.waiting = ""
        for attempt in self._attempts:
            if attempt.state in (Trainer.FAILED, Trainer.REFUSED):
                await self._note_end(attempt)
            elif attempt.state is Trainer.RUNNING and attempt.waits and not self._old(attempt):
                await self._note_waiting(attempt)

    async def ensure(self, failures: int, last_round: int = 0) -> None:
        """Run one more attempt, unless one runs or more have failed than the caller knows."""
        await self.look(self._newest)
        if self.state is Trainer.RUNNING or failures < self.failures:
            return
        for attempt in self._attempts:
            if self._old(attempt) and attempt.state is Trainer.RUNNING:
                await self._end(attempt)
        if any(self._leaves(attempt) for attempt in self._attempts):
            raise UnavailableError("the attempt before is still being deleted")
        number = self._attempts[-1].number + 1 if self._attempts else 0
        order = self._order(number, last_round)
        for kind, item in self._backend.beside(order):
            await self._api.apply(kind, item)
        try:
            await self._api.create(self._backend.kind, self._backend.object(order))
        except AlreadyExistsError as error:
            raise UnavailableError(f"an older attempt is in the way: {error}") from error
        await self._clear()
        await self.look(self._newest)

    async def stop(self) -> None:
        """End whatever runs; it goes on from its checkpoint the next time."""
        for attempt in await self._list():
            if attempt.state is Trainer.RUNNING:
                await self._end(attempt)

    async def _list(self) -> list[Attempt]:
        found: list[Attempt] = []
        for backend in list(self._seen):
            attempts = attempts_of(backend, await self._items(backend))
            if not attempts and backend is not self._backend:
                self._seen.discard(backend)
            found += attempts
        return sorted(found, key=lambda attempt: attempt.number)

    async def _items(self, backend: TrainingBackend) -> Sequence[Object]:
        known, items = True, []
        try:
            listed = await self._api.list(backend.kind, labels=self._belonging.select("trainer"))
            items = listed["items"]
        except UnknownKindError:
            known = False
        except FailedPreconditionError:
            # A release whose Role does not name that kind has made none of it.
            if backend is self._backend:
                raise
        if backend is self._backend:
            self._is_missing = not known
        return items

    def _old(self, attempt: Attempt) -> bool:
        """Whether it is another backend's, from before an upgrade."""
        return attempt.backend is not self._backend

    def _leaves(self, attempt: Attempt) -> bool:
        """Whether it is being deleted, or will be before the next one starts."""
        old = self._old(attempt) and attempt.state is Trainer.RUNNING
        return attempt.leaving or old

    async def _end(self, attempt: Attempt) -> None:
        if attempt.leaving:
            return
        if attempt.backend.suspends_first:
            with suppress(NotFoundError):
                await self._suspend(attempt, suspend=True)
        await self._api.delete(attempt.backend.kind, attempt.name, foreground=True)

    async def _clear(self) -> None:
        """Forget the segments before the last one: a run may have more of them than a namespace
        may have Jobs, and what they did is in the run's events. Failed ones stay for a while."""
        complete = [attempt for attempt in self._attempts if attempt.state is Trainer.ABSENT]
        since = self._now() - timedelta(seconds=JOB_TTL_S)
        for attempt in self._attempts:
            expired = attempt.ended_at is not None and attempt.ended_at < since
            if expired or attempt in complete[:-1]:
                await self._api.delete(attempt.backend.kind, attempt.name)

    def _counts(self, attempt: Attempt) -> bool:
        if attempt.state is not Trainer.FAILED or attempt.ended_at is None:
            return False
        return self._progress_at is None or attempt.ended_at > self._progress_at

    async def _note_waiting(self, attempt: Attempt) -> None:
        pods = await self._pods(attempt)
        self.waiting = unscheduled(pods)
        if self.waiting:
            self._tell_once(attempt, f"no node takes a trainer: {self.waiting}")
        elif held_up := self._held_up(attempt):
            self.waiting = held_up
            self._tell_once(attempt, held_up)
        match judge(attempt.item, pods, self._now(), self._patience):
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

    def _held_up(self, attempt: Attempt) -> str:
        """Why an attempt has no pods yet; empty if nothing is known."""
        metadata = attempt.item["metadata"]
        queue = metadata["labels"].get(QUEUE_LABEL)
        if queue and attempt.item["spec"].get("suspend"):
            return f"{attempt.name} waits in queue {queue}"
        age = self._now() - datetime.fromisoformat(metadata["creationTimestamp"])
        if not attempt.item.get("status") and age > timedelta(seconds=TAKE_UP_S):
            plural = attempt.backend.kind.plural
            return f"nobody has taken up {attempt.name}: does the controller of {plural} run?"
        return ""

    def _tell_once(self, attempt: Attempt, message: str) -> None:
        told = f"{attempt.name} waits"
        if told not in self._told:
            self._told.add(told)
            self._tell(message)

    async def _suspend(self, attempt: Attempt, *, suspend: bool) -> None:
        body = {"spec": {"suspend": suspend}}
        await self._api.merge(attempt.backend.kind, attempt.name, body)

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
        labels = {**self._belonging.select("trainer"), **attempt.backend.pods(attempt.name)}
        return (await self._api.list(PODS, labels=labels))["items"]
