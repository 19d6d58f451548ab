"""Cutting a batch into forward passes.

The weight of each token in the loss is fixed in the stored batch, so the cut only decides
about memory and time: the losses of all micro-batches of all ranks sum to the batch's loss.
"""

from collections.abc import Sequence

from zeroloop.core.batches import BatchSequence
from zeroloop.errors import ConfigError

MicroBatch = tuple[BatchSequence, ...]
"""Sequences of one forward pass; empty where a rank only keeps the others company."""


def tokens_of(sequence: BatchSequence) -> int:
    """Length of a sequence, prompt included."""
    return len(sequence.prompt_token_ids) + len(sequence.token_ids)


def cut(sequences: Sequence[BatchSequence], *, tokens_max: int) -> list[MicroBatch]:
    """Sort by length, longest first, and fill micro-batches of at most `tokens_max` tokens.

    Padding counts: a micro-batch costs its longest sequence times its sequences. Longest
    first, so that what does not fit into memory fails at once and not after minutes.
    Sequences without a response are left out: they have no share in the loss.

    Raises:
        ConfigError: A sequence alone is longer than `tokens_max`.
    """
    trained = [sequence for sequence in sequences if len(sequence.token_ids)]
    ordered = sorted(trained, key=lambda sequence: (-tokens_of(sequence), sequence.index))
    if ordered and tokens_of(ordered[0]) > tokens_max:
        raise ConfigError(
            f"sequence {ordered[0].index} has {tokens_of(ordered[0])} tokens, more than "
            f"micro_batch_tokens allows ({tokens_max}); raise it"
        )
    micro_batches: list[MicroBatch] = []
    current: list[BatchSequence] = []
    for sequence in ordered:
        if current and tokens_of(current[0]) * (len(current) + 1) > tokens_max:
            micro_batches.append(tuple(current))
            current = []
        current.append(sequence)
    if current:
        micro_batches.append(tuple(current))
    return micro_batches


def share(micro_batches: Sequence[MicroBatch], *, rank: int, ranks: int) -> list[MicroBatch]:
    """Return the micro-batches of one rank: as many for every rank, at least one.

    ZeRO's collectives need every rank in every pass, so who has fewer gets empty ones.
    Neighbours are of similar length, so dealing them out keeps the ranks in step.
    """
    rounds = max(1, -(-len(micro_batches) // ranks))
    mine = list(micro_batches[rank::ranks])
    return mine + [()] * (rounds - len(mine))


def padding_ratio(micro_batches: Sequence[MicroBatch]) -> float:
    """Share of the computed tokens that is padding, in [0, 1)."""
    computed = sum(tokens_of(micro[0]) * len(micro) for micro in micro_batches if micro)
    real = sum(tokens_of(sequence) for micro in micro_batches for sequence in micro)
    return 1 - real / computed if computed else 0.0
