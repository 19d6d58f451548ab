"""Refusing a batch that cannot be trained on, before anything is computed."""

import math
from collections.abc import Sequence

from zeroloop.core.batches import Batch, BatchSequence
from zeroloop.errors import CorruptDataError

WEIGHT_SUM_TOLERANCE = 1e-3
"""The token weights of a batch sum to 1; what differs by more was not computed by the rules."""


def check_batch(
    batch: Batch, sequences: Sequence[BatchSequence], *, vocabulary: int, context_tokens: int
) -> None:
    """Check every sequence against the model and the batch against its header.

    Args:
        vocabulary: Tokens that the model knows.
        context_tokens: Longest sequence that the model can see.

    Raises:
        CorruptDataError: Names the round, the sequence and what is wrong.
    """
    place = f"batch of run {batch.run!r}, round {batch.round}"
    if len(sequences) != batch.sequences:
        raise CorruptDataError(
            f"{place}: its header says {batch.sequences} sequences, {len(sequences)} came"
        )
    for sequence in sequences:
        problem = _problem_of(sequence, vocabulary, context_tokens)
        if problem:
            raise CorruptDataError(f"{place}: sequence {sequence.index} {problem}")
    total = math.fsum(sequence.token_weight * len(sequence.token_ids) for sequence in sequences)
    if sequences and abs(total - 1) > WEIGHT_SUM_TOLERANCE:
        raise CorruptDataError(f"{place}: its token weights sum to {total:.6g}, 1 is needed")


def _problem_of(sequence: BatchSequence, vocabulary: int, context_tokens: int) -> str:
    """What is wrong with one sequence; empty if nothing is."""
    prompt, response = sequence.prompt_token_ids, sequence.token_ids
    length = len(prompt) + len(response)
    if not prompt:
        return "has no prompt; its first token would have no probability"
    if length > context_tokens:
        return f"has {length} tokens, the model sees at most {context_tokens}"
    if len(sequence.logprobs) != len(response):
        return f"has {len(response)} tokens but {len(sequence.logprobs)} log-probabilities"
    if not math.isfinite(sequence.advantage):
        return f"has the advantage {sequence.advantage}"
    if not (math.isfinite(sequence.token_weight) and sequence.token_weight >= 0):
        return f"has the token weight {sequence.token_weight}"
    for tokens in (prompt, response):
        for token in (min(tokens, default=0), max(tokens, default=0)):
            if not 0 <= token < vocabulary:
                return f"has the token id {token}, the model knows 0 to {vocabulary - 1}"
    return ""
