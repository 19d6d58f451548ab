"""The life of the trainer: catch up, then lease, train, checkpoint, publish, acknowledge.

Rank 0 alone talks to the buffer and decides; the others follow its orders. Whatever is killed
at whatever moment, every batch counts once:

* A checkpoint is written before the version is published, and the version before the batch
  is acknowledged, so what a restart finds undone is the tail of this order.
* Rounds that are registered but newer than the checkpoint are trained again from the stored
  batches, and must give the very digest that is registered.
* A batch that is leased although its round is in the weights already is only published and
  acknowledged.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainer import telemetry
from trainer.batch_check import check_batch
from trainer.checkpoints import Checkpoints, Progress
from trainer.exits import ExitCode
from trainer.group import Group
from trainer.publisher import Publisher
from trainer.reports import StepReport, round_metrics
from trainer.stopping import StopRequest
from trainer.store import Store
from zeroloop.core import figures
from zeroloop.core.batches import Batch, BatchSequence
from zeroloop.errors import CorruptDataError, FailedPreconditionError, NotFoundError

logger = logging.getLogger(__name__)


class Learner(Protocol):
    """Model and optimiser. Every method is collective."""

    vocabulary: int
    context_tokens: int

    def step(
        self, sequences: Sequence[BatchSequence], *, cancelled: Callable[[], bool]
    ) -> StepReport | None: ...

    def logprobs(self, sequences: Sequence[BatchSequence]) -> list[tuple[float, ...]]: ...

    def write_weights(self, folder: Path) -> None: ...

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """An order of rank 0: bring this batch into the weights and publish them."""

    batch: Batch
    sequences: Sequence[BatchSequence]

    lease_token: str = ""
    """Empty for a replay: that batch was acknowledged long ago."""


@dataclass(frozen=True, slots=True)
class Wait:
    """An order of rank 0: nothing to do yet."""


@dataclass(frozen=True, slots=True)
class Finish:
    """An order of rank 0: save what is not saved and end."""

    code: ExitCode


Order = Work | Wait | Finish


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The settings of the same names."""

    checkpoint_every_rounds: int
    last_round: int
    poll_s: float


class Trainer:
    """One rank of the trainer; `store` is None on all but the first."""

    def __init__(
        self,
        learner: Learner,
        group: Group,
        checkpoints: Checkpoints,
        publisher: Publisher,
        store: Store | None,
        *,
        schedule: Schedule,
        stop: StopRequest,
        ready: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._learner = learner
        self._group = group
        self._checkpoints = checkpoints
        self._publisher = publisher
        self._store = store
        self._schedule = schedule
        self._stop = stop
        self._ready = ready
        self._progress = Progress()

    def run(self) -> ExitCode:
        """Train until the last round is done or a stop is requested."""
        self._publisher.clear_unfinished()
        self._progress = self._checkpoints.load(self._learner)
        self._publish_base()
        if not self._catch_up():
            return self._finish(ExitCode.STOPPED)
        self._ready(self._progress.round)
        while True:
            match self._order():
                case Wait():
                    pass
                case Finish(code):
                    return self._finish(code)
                case Work() as work:
                    if not self._serve(work):
                        return self._finish(ExitCode.STOPPED)

    # ---- what is next

    def _order(self) -> Order:
        """Agree on what to do next; waits for a batch at most one poll."""
        if self._cancelled():
            return Finish(ExitCode.STOPPED)
        return self._group.broadcast(None if self._store is None else self._decide(self._store))

    def _decide(self, store: Store) -> Order:
        applied, last = self._progress.round, self._schedule.last_round
        # Who was killed before it acknowledged that round may hold its lease for a while.
        if last and applied >= last and store.trained(last):
            return Finish(ExitCode.DONE)
        leased = store.lease(wait_s=self._schedule.poll_s)
        if leased is None:
            return Wait()
        if leased.batch.round < applied:
            self._ack(store, leased.lease_token, {})
            return Wait()
        return self._read(store, leased.batch.round, leased.lease_token)

    def _read(self, store: Store, round_index: int, lease_token: str = "") -> Work:
        batch, sequences = store.read(round_index)
        check_batch(
            batch,
            sequences,
            vocabulary=self._learner.vocabulary,
            context_tokens=self._learner.context_tokens,
        )
        return Work(batch, sequences, lease_token)

    def _cancelled(self) -> bool:
        """Whether any rank was asked to stop; collective."""
        return any(self._group.gather(bool(self._stop)))

    # ---- serving a batch

    def _serve(self, work: Work) -> bool:
        """Train, publish and acknowledge; False if it was given up for a stop request."""
        store = self._store
        if store is None:
            return self._advance(work)
        served = False
        try:
            with (
                store.keep(work.lease_token),
                telemetry.training(work.batch, ranks=self._group.ranks, replay=False),
            ):
                if self._advance(work):
                    self._ack(store, work.lease_token, self._progress.metrics)
                    served = True
        finally:
            if not served:
                # The next attempt need not wait until the lease runs out.
                store.release(work.lease_token)
        return served

    def _advance(self, work: Work) -> bool:
        """Bring the weights to this batch's round and publish them."""
        if work.batch.round > self._progress.round and not self._step(work):
            return False
        if work.batch.round % self._schedule.checkpoint_every_rounds == 0:
            self._checkpoint()
        self._publish(work)
        return True

    def _step(self, work: Work) -> bool:
        batch = work.batch
        metrics = {figures.SEQUENCES: 0.0}
        if work.sequences:
            report = self._learner.step(work.sequences, cancelled=self._cancelled)
            if report is None:
                return False
            metrics = round_metrics(report, sequences=len(work.sequences))
            if work.lease_token:
                telemetry.stepped(report)
        self._progress = Progress(round=batch.round, parent=self._progress.round, metrics=metrics)
        if self._store is not None:
            logger.info(
                "step_done",
                extra={"round": batch.round, "replay": not work.lease_token, **metrics},
            )
        return True

    def _publish(self, work: Work) -> None:
        with telemetry.publishing(self._progress.round) as span:
            size_bytes = self._publisher.publish(
                self._learner,
                self._progress.round,
                parent=self._progress.parent,
                sequences=work.sequences,
                traceparent=work.batch.traceparent,
            )
            telemetry.published(span, size_bytes)

    def _ack(self, store: Store, lease_token: str, metrics: dict[str, float]) -> None:
        try:
            store.ack(lease_token, metrics)
        except FailedPreconditionError as error:
            # The lease ran out. The batch comes again and is then only acknowledged.
            logger.warning("ack_refused", extra={"error": str(error)})

    def _checkpoint(self) -> None:
        if self._progress.round not in self._group.broadcast(self._checkpoints.rounds()):
            self._checkpoints.save(self._learner, self._progress)

    # ---- the two ends

    def _publish_base(self) -> None:
        """Register the base model as version 0, if nobody has done so."""
        missing = self._store is not None and not self._store.versions_after(-1)
        if self._progress.round == 0 and self._group.broadcast(missing):
            self._publisher.publish(self._learner, 0, parent=None)

    def _catch_up(self) -> bool:
        """Train again what is registered but newer than the checkpoint; False if stopped.

        Raises:
            ReplayMismatchError: It gave other weights.
            CorruptDataError: A batch is gone, or checkpoint and registry do not belong together.
        """
        store, applied = self._store, self._progress.round
        versions = [] if store is None else store.versions_after(0)
        newest = versions[-1].version if versions else 0
        if store is not None and newest < (self._progress.parent or 0):
            raise CorruptDataError(
                f"the checkpoint is at round {applied}, the registry ends at version {newest}: "
                "they are of different runs. Remove the checkpoint folder to train anew"
            )
        behind = [weights.version for weights in versions if weights.version > applied]
        for round_index in self._group.broadcast(behind):
            again = None if store is None else self._read_again(store, round_index)
            work = self._group.broadcast(again)
            with telemetry.training(work.batch, ranks=self._group.ranks, replay=True):
                if not self._advance(work):
                    return False
        return True

    def _read_again(self, store: Store, round_index: int) -> Work:
        try:
            return self._read(store, round_index)
        except (NotFoundError, FailedPreconditionError) as error:
            raise CorruptDataError(
                f"round {round_index} has to be trained again after the checkpoint of round "
                f"{self._progress.round}, but its batch is gone: {error}. Keep more rounds, or "
                "lower checkpoint_every_rounds"
            ) from error

    def _finish(self, code: ExitCode) -> ExitCode:
        if self._progress.round:
            self._checkpoint()
        self._group.barrier()
        return code
