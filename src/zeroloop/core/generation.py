"""What the model that is learning is asked for, and what it answers.

Shape of a sequence: prompt tokens first, the tokens that answer it after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class FinishReason(StrEnum):
    """Why a completion ended. Closed set: these values label a metric."""

    STOP = "stop"
    """The model ended the text."""

    LENGTH = "length"
    """`max_tokens` or the context's end was reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One prompt to complete; either text or tokens."""

    text: str = ""
    """Encoded by the service, special tokens as the tokenizer adds them by default."""

    token_ids: Sequence[int] | None = field(default=None, repr=False)
    """Used as they are, instead of `text`."""

    seed: int | None = None
    """Sample k draws from seed + k. None: not reproducible."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How completions are drawn."""

    max_tokens: int
    """Most tokens of one completion, at least 1."""

    n: int = 1
    """Completions per prompt, in [1, 64]."""

    temperature: float = 1.0
    """In [0, 2]; 0 is greedy."""

    top_p: float = 1.0
    """In (0, 1]; 1 is off."""

    top_k: int = -1
    """At least 1, or -1 for off."""

    logprobs: bool = False
    """Also return the log-probability of each sampled token."""


@dataclass(frozen=True, slots=True)
class WeightsSpan:
    """Tokens `start` to `end` (exclusive) of a completion were drawn by one version."""

    weights_version: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One finished sample."""

    prompt_index: int
    sample_index: int
    text: str
    """Decoded without special tokens."""

    token_ids: Sequence[int] = field(repr=False)
    """The end-of-text token included when the model produced it."""

    prompt_token_ids: Sequence[int] = field(repr=False, default=())
    """What the engine was given; in sample 0 of each prompt only."""

    logprobs: Sequence[float] = field(repr=False, default=())
    """Natural logarithms, aligned with `token_ids`; empty unless asked for."""

    finish_reason: FinishReason = FinishReason.STOP
    weights: tuple[WeightsSpan, ...] = ()

    @property
    def weights_version(self) -> int:
        """The oldest version that drew a token of it."""
        return min((span.weights_version for span in self.weights), default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredTokens:
    """Tokens to score: the prompt, then at least one more."""

    token_ids: Sequence[int] = field(repr=False)
    prompt_tokens: int
    """How many leading tokens are the prompt; at least 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Log-probabilities of one sequence's tokens after the prompt."""

    sequence_index: int
    logprobs: Sequence[float] = field(repr=False)
    weights_version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What inference serves."""

    model: str
    """Folder or hub id that the engine was started with."""

    tokenizer_digest: str
    """SHA-256 over the tokenizer's files, hexadecimal; empty if it has none."""

    dtype: str
    context_tokens: int
    """Prompt and completion together."""

    vocabulary_tokens: int
    weights_version: int
    engine: str
    """`vllm` or `simulated`."""

    engine_version: str
    sequences_concurrent_max: int
    """Sequences decoded at once; more wait in the engine's queue."""

    eos_token_ids: tuple[int, ...]
    """Tokens that end a completion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedWeights:
    """What an Apply did."""

    weights_version: int
    parity: float
    """Largest difference from the trainer's log-probabilities on the probe, nats; -1 if the
    version carries no probe or was served already."""

    paused_s: float
    """Seconds during which no call was served."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsState:
    """What is served and what could be."""

    weights_version: int
    staged_versions: tuple[int, ...]
    """What Apply would accept now, ascending."""

    previous_version: int | None
    """What Rollback would serve."""

    asleep: bool = False
    """It has let go of its device."""
