"""What a request may contain: every value checked before the engine sees any of it."""

from collections.abc import Sequence

from services.inference.engine.base import EngineInfo
from zeroloop.core.generation import Sampling, ScoredTokens
from zeroloop.errors import invalid

PROMPTS_MAX = 4096
SEQUENCES_MAX = 1024
SAMPLES_MAX = 64
TEMPERATURE_MAX = 2.0


def check_sampling(sampling: Sampling) -> None:
    """Raise InvalidRequestError unless every field is in the contract's range."""
    if not 1 <= sampling.n <= SAMPLES_MAX:
        raise invalid("sampling.n", f"must be 1 to {SAMPLES_MAX}, got {sampling.n}")
    if sampling.max_tokens < 1:
        raise invalid("sampling.max_tokens", f"must be at least 1, got {sampling.max_tokens}")
    # Written so that NaN fails.
    if not 0.0 <= sampling.temperature <= TEMPERATURE_MAX:
        raise invalid(
            "sampling.temperature", f"must be 0 to {TEMPERATURE_MAX}, got {sampling.temperature}"
        )
    if not 0.0 < sampling.top_p <= 1.0:
        raise invalid("sampling.top_p", f"must be over 0 and at most 1, got {sampling.top_p}")
    if sampling.top_k != -1 and sampling.top_k < 1:
        raise invalid("sampling.top_k", f"must be -1 (off) or at least 1, got {sampling.top_k}")


def check_count(field: str, count: int, count_max: int) -> None:
    """Raise InvalidRequestError unless 1 to `count_max` things were sent."""
    if not 1 <= count <= count_max:
        raise invalid(field, f"must be 1 to {count_max}, got {count}")


def check_prompt(index: int, token_ids: Sequence[int], info: EngineInfo) -> None:
    """Raise InvalidRequestError unless a completion of the prompt can begin."""
    field = f"prompts[{index}]"
    _check_tokens(field, token_ids, info)
    if len(token_ids) >= info.context_tokens:
        raise invalid(
            field,
            f"has {len(token_ids)} tokens, which leaves no room for a completion in the model's "
            f"context of {info.context_tokens}; send at most {info.context_tokens - 1}",
        )


def check_sequence(index: int, sequence: ScoredTokens, info: EngineInfo) -> None:
    """Raise InvalidRequestError unless the sequence fits and has something to score."""
    field = f"sequences[{index}]"
    _check_tokens(field, sequence.token_ids, info)
    if len(sequence.token_ids) > info.context_tokens:
        raise invalid(
            field,
            f"has {len(sequence.token_ids)} tokens, the model's context is "
            f"{info.context_tokens}; send fewer",
        )
    if not 1 <= sequence.prompt_tokens < len(sequence.token_ids):
        raise invalid(
            f"{field}.prompt_tokens",
            f"must be at least 1 and less than the {len(sequence.token_ids)} tokens of the "
            f"sequence, got {sequence.prompt_tokens}",
        )


def _check_tokens(field: str, token_ids: Sequence[int], info: EngineInfo) -> None:
    if not token_ids:
        raise invalid(field, "has no tokens; a model needs at least one to begin with")
    smallest, largest = min(token_ids), max(token_ids)
    if smallest < 0 or largest >= info.vocabulary_tokens:
        wrong = smallest if smallest < 0 else largest
        raise invalid(
            field,
            f"has token id {wrong}, the model's vocabulary is 0 to {info.vocabulary_tokens - 1}",
        )
