"""What the trainer needs from the buffer service, and an implementation in memory."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from zeroloop.core.batches import Batch, BatchSequence, LeasedBatch, Weights
from zeroloop.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError


class Store(Protocol):
    """Batches to train on and the registry of weights, of one run. Only rank 0 has one.

    Every method waits out a service that is away, within limits, and then raises
    `UnavailableError`.
    """

    def lease(self, *, wait_s: float) -> LeasedBatch | None:
        """Take the oldest batch that is not acknowledged; None if none came in time."""
        ...

    def read(self, round_index: int) -> tuple[Batch, Sequence[BatchSequence]]:
        """Return the batch of a round and its sequences, leased or not.

        Raises:
            NotFoundError: The round has no batch.
            FailedPreconditionError: Its tokens were pruned.
        """
        ...

    def keep(self, lease_token: str) -> AbstractContextManager[None]:
        """Renew a lease as long as the returned context is entered."""
        ...

    def release(self, lease_token: str) -> None:
        """Let somebody else lease the batch soon."""
        ...

    def ack(self, lease_token: str, metrics: Mapping[str, float]) -> None:
        """Mark the batch as trained.

        Raises:
            FailedPreconditionError: The lease is no longer ours, or its weights are missing.
        """
        ...

    def trained(self, round_index: int) -> bool:
        """Whether the batch of a round is acknowledged."""
        ...

    def registered(self, version: int) -> Weights | None:
        """Return a version of the weights, if it is registered."""
        ...

    def versions_after(self, version: int) -> list[Weights]:
        """Return the registered versions above `version`, ascending."""
        ...

    def publish(self, weights: Weights) -> None:
        """Register a version whose files are in place.

        Raises:
            AlreadyExistsError: It is registered with another digest.
        """
        ...


@dataclass
class MemoryStore:
    """A store without a service: for tests, and for training from batches at hand."""

    run: str
    batches: dict[int, list[BatchSequence]] = field(default_factory=dict[int, list[BatchSequence]])
    metrics: dict[int, Mapping[str, float]] = field(default_factory=dict[int, Mapping[str, float]])
    """Of the acknowledged rounds."""

    weights: dict[int, Weights] = field(default_factory=dict[int, Weights])
    acks: list[int] = field(default_factory=list[int])

    def lease(self, *, wait_s: float) -> LeasedBatch | None:
        waiting = sorted(self.batches.keys() - self.metrics.keys())
        if not waiting:
            return None
        batch, _ = self.read(waiting[0])
        return LeasedBatch(batch, str(waiting[0]), datetime.max.replace(tzinfo=UTC))

    def read(self, round_index: int) -> tuple[Batch, Sequence[BatchSequence]]:
        if round_index not in self.batches:
            raise NotFoundError(f"round {round_index} of run {self.run} has no batch")
        sequences = self.batches[round_index]
        batch = Batch(
            run=self.run,
            round=round_index,
            sequences=len(sequences),
            response_tokens=sum(len(sequence.token_ids) for sequence in sequences),
            weights_version=round_index - 1,
        )
        return batch, sequences

    @contextmanager
    def keep(self, lease_token: str) -> Generator[None]:
        yield

    def release(self, lease_token: str) -> None:
        pass

    def ack(self, lease_token: str, metrics: Mapping[str, float]) -> None:
        round_index = int(lease_token)
        if round_index not in self.weights:
            raise FailedPreconditionError(f"the weights of round {round_index} are not published")
        self.metrics.setdefault(round_index, metrics)
        self.acks.append(round_index)

    def trained(self, round_index: int) -> bool:
        return round_index in self.metrics

    def registered(self, version: int) -> Weights | None:
        return self.weights.get(version)

    def versions_after(self, version: int) -> list[Weights]:
        return [self.weights[v] for v in sorted(self.weights) if v > version]

    def publish(self, weights: Weights) -> None:
        found = self.weights.setdefault(weights.version, weights)
        if found.manifest_digest != weights.manifest_digest:
            raise AlreadyExistsError(f"version {weights.version} has digest {found}")
