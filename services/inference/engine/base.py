"""What the service needs of an engine. It deals in tokens and single samples.

Fan-out over prompts and samples, admission and versions are the service's (`serving`,
`weights`), so that every engine has them in the same form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zeroloop.core.generation import FinishReason, Sampling, WeightsSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfo:
    """What an engine is; none of it changes while it lives."""

    engine: str
    """`vllm` or `simulated`."""

    engine_version: str
    dtype: str
    context_tokens: int
    """Prompt and completion together."""

    vocabulary_tokens: int
    sequences_concurrent_max: int
    eos_token_ids: tuple[int, ...]
    tokenizer_digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One finished sample."""

    token_ids: Sequence[int] = field(repr=False)
    logprobs: Sequence[float] = field(repr=False)
    """Aligned with `token_ids`; empty unless asked for."""

    finish_reason: FinishReason
    weights: tuple[WeightsSpan, ...]


class Engine(Protocol):
    """A model that is loaded and can be asked.

    Any method raises `UnavailableError` once the engine is dead.
    """

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`, special tokens as the tokenizer adds them by default."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of `token_ids` without special tokens."""
        ...

    async def draw(self, token_ids: Sequence[int], sampling: Sampling, seed: int | None) -> Drawn:
        """Return one sample that follows the prompt `token_ids`. Cancelling stops it.

        The prompt leaves room for a token, and every value is in range: the caller checked.
        `sampling.n` is the caller's business. The same seed, prompt and weights give the
        same tokens, whatever else the engine does meanwhile.
        """
        ...

    async def score(self, token_ids: Sequence[int], prompt_tokens: int) -> Sequence[float]:
        """Return the log-probabilities of `token_ids[prompt_tokens:]`, at temperature 1."""
        ...

    async def load_weights(self, folder: str, version: int) -> None:
        """Replace the weights by those in `folder` and forget everything cached.

        Nothing may be in flight. If it raises, the engine holds no usable weights until
        another call succeeds.
        """
        ...

    async def sleep(self) -> None:
        """Let go of the device's memory, the weights kept in the host's. Nothing is in flight."""
        ...

    async def wake(self) -> None:
        """Take the memory again; the weights are those from before, what was cached is gone."""
        ...

    async def died(self) -> str:
        """Return, when the engine is dead and not before, why."""
        ...

    async def close(self) -> None:
        """End the engine and every process of it. Safe to call more than once."""
        ...
