from typing import Any

import pytest

from tests.unit.trainer.samples import batch, sequence
from trainer.batch_check import check_batch
from zeroloop.core.batches import Batch
from zeroloop.errors import CorruptDataError


def header(sequences: int) -> Batch:
    return Batch(run="r", round=3, sequences=sequences, response_tokens=0, weights_version=2)


def test_a_batch_by_the_rules_passes() -> None:
    check_batch(header(50), batch(50), vocabulary=64, context_tokens=128)


def test_a_batch_without_sequences_passes() -> None:
    check_batch(header(0), [], vocabulary=64, context_tokens=128)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"prompt_token_ids": []}, "has no prompt", id="no prompt"),
        pytest.param({"token_ids": [4, 64]}, "token id 64.*0 to 63", id="unknown token"),
        pytest.param({"token_ids": [4, -1]}, "token id -1", id="negative token"),
        pytest.param({"logprobs": [0.0]}, "2 tokens but 1 log-prob", id="log-prob missing"),
        pytest.param({"advantage": float("nan")}, "advantage nan", id="advantage nan"),
        pytest.param({"token_weight": float("inf")}, "token weight inf", id="weight infinite"),
        pytest.param({"token_weight": -0.5}, "token weight -0.5", id="weight negative"),
        pytest.param({"prompt_token_ids": [1] * 127}, "129 tokens.*at most 128", id="too long"),
    ],
)
def test_a_bad_sequence_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(CorruptDataError, match=f"'r', round 3: sequence 0 .*{problem}"):
        check_batch(header(1), [sequence(**changes)], vocabulary=64, context_tokens=128)


def test_weights_that_do_not_sum_to_1_are_refused() -> None:
    with pytest.raises(CorruptDataError, match=r"sum to 0\.5, 1 is needed"):
        check_batch(header(1), [sequence(token_weight=0.25)], vocabulary=64, context_tokens=128)


def test_a_lost_sequence_is_noticed() -> None:
    with pytest.raises(CorruptDataError, match="2 sequences, 1 came"):
        check_batch(header(2), [sequence()], vocabulary=64, context_tokens=128)
