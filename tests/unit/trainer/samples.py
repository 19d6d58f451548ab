"""Batches for tests of the trainer."""

import random
from collections.abc import Sequence
from typing import Any

from zeroloop.core.batches import BatchSequence
from zeroloop.core.tasks import Kind, Role


def sequence(index: int = 0, **changes: Any) -> BatchSequence:
    """A sequence of 3 + 2 tokens that is the whole batch."""
    values: dict[str, Any] = {
        "index": index,
        "kind": Kind.DEDUCTION,
        "role": Role.SOLVER,
        "prompt_token_ids": [1, 2, 3],
        "token_ids": [4, 5],
        "logprobs": [-1.0, -2.0],
        "advantage": 1.0,
        "token_weight": 0.5,
    }
    return BatchSequence(**values | changes)


def batch(
    count: int, *, seed: int = 0, vocabulary: int = 64, lengths: tuple[int, int] = (1, 40)
) -> list[BatchSequence]:
    """`count` random sequences whose token weights sum to 1, weighted per sequence."""
    dice = random.Random(seed)
    sequences: list[BatchSequence] = []
    for index in range(count):
        response = dice.randint(*lengths)
        sequences.append(
            sequence(
                index,
                prompt_token_ids=_tokens(dice, dice.randint(1, 30), vocabulary),
                token_ids=_tokens(dice, response, vocabulary),
                logprobs=[-4.0 - dice.random() for _ in range(response)],
                advantage=dice.gauss(0, 1),
                token_weight=1 / count / response,
            )
        )
    return sequences


def _tokens(dice: random.Random, count: int, vocabulary: int) -> Sequence[int]:
    return [dice.randrange(3, vocabulary) for _ in range(count)]
