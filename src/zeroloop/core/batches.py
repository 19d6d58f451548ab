"""What the trainer takes, batches, and what it makes, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zeroloop.core.rounds import logprob_array, token_array
from zeroloop.core.tasks import Kind, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The sequences of one round to train on, without the sequences."""

    run: str
    round: int
    sequences: int
    response_tokens: int

    weights_version: int
    """Weights that sampled it."""

    attempt: int = 0
    """How often it has been leased."""

    traceparent: str = ""
    """W3C trace context of the round that made it."""


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """A batch that is the caller's until the lease expires."""

    batch: Batch
    lease_token: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSequence:
    """One sequence to train on."""

    index: int
    """Position in the batch, from 0."""

    kind: Kind
    role: Role
    prompt_token_ids: Sequence[int] = field(repr=False)
    token_ids: Sequence[int] = field(repr=False)

    logprobs: Sequence[float] = field(repr=False)
    """Of `token_ids` under the weights that sampled them, nats; 32-bit floats."""

    advantage: float

    token_weight: float
    """Share of each of `token_ids` in the loss; over the whole batch the shares sum to 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_token_ids", token_array(self.prompt_token_ids))
        object.__setattr__(self, "token_ids", token_array(self.token_ids))
        object.__setattr__(self, "logprobs", logprob_array(self.logprobs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One version of a run's weights. The bytes lie in the weights store."""

    run: str

    version: int
    """Round whose batch produced it; 0 is the base model."""

    uri: str
    """Where the files are, readable by trainer and inference."""

    manifest_digest: str
    """Lower-case hexadecimal SHA-256 of manifest.json."""

    size_bytes: int = 0
    promoted: bool = False

    published_at: datetime | None = None
    """Set by the buffer."""

    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the trainer says of it, for instance base model and dtype; plain JSON values."""


@dataclass(frozen=True, slots=True)
class WeightsPage:
    """One page of a list of weights."""

    weights: tuple[Weights, ...]
    next_page_token: str
