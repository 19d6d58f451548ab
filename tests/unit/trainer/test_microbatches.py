import math

import pytest

from tests.unit.trainer.samples import batch, sequence
from trainer.microbatches import cut, padding_ratio, share, tokens_of
from zeroloop.errors import ConfigError


@pytest.mark.parametrize("tokens_max", [70, 128, 1000, 100_000])
def test_every_sequence_is_in_one_micro_batch_within_the_budget(tokens_max: int) -> None:
    sequences = batch(50)

    micro_batches = cut(sequences, tokens_max=tokens_max)

    assert sorted(s.index for micro in micro_batches for s in micro) == list(range(50))
    assert all(tokens_of(micro[0]) * len(micro) <= tokens_max for micro in micro_batches)
    assert all(tokens_of(s) <= tokens_of(micro[0]) for micro in micro_batches for s in micro)


def test_the_longest_come_first_so_that_too_little_memory_shows_at_once() -> None:
    lengths = [tokens_of(micro[0]) for micro in cut(batch(50), tokens_max=200)]

    assert lengths == sorted(lengths, reverse=True)


def test_a_sequence_over_the_budget_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"sequence 7 has 5 tokens.*micro_batch_tokens.*\(4\)"):
        cut([sequence(7)], tokens_max=4)


def test_a_sequence_without_response_has_no_share() -> None:
    assert cut([sequence(token_ids=[], logprobs=[])], tokens_max=16) == []


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ranks_take_equally_many_passes_and_share_all(ranks: int) -> None:
    micro_batches = cut(batch(50), tokens_max=256)

    shares = [share(micro_batches, rank=rank, ranks=ranks) for rank in range(ranks)]

    assert {len(mine) for mine in shares} == {math.ceil(len(micro_batches) / ranks)}
    assert sorted(s.index for mine in shares for micro in mine for s in micro) == list(range(50))


def test_nothing_to_train_is_one_empty_pass() -> None:
    assert share([], rank=0, ranks=2) == [()]


def test_padding_counts_what_is_computed_in_vain() -> None:
    long = sequence(0, token_ids=[4] * 7, logprobs=[0.0] * 7)

    assert padding_ratio([(long, sequence(1))]) == 5 / 20
