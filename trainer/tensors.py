# ruff: noqa: N815 -- shape suffixes
"""A micro-batch as tensors.

Shape suffixes: B = sequences, T = tokens of the longest one, N = response tokens of all.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from trainer.microbatches import MicroBatch, tokens_of


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """What one forward pass and its loss need.

    Padding is on the right and no mask is given: a causal model never looks there.
    """

    tokens_BT: Tensor
    """Prompt and response as sampled, padded with 0."""

    rows_N: Tensor
    """Which sequence a response token belongs to."""

    columns_N: Tensor
    """Position whose output predicts it: one before its own."""

    targets_N: Tensor
    """The response tokens, in the order of the sequences."""

    stored_logprobs_N: Tensor
    """What the engine said of them when it sampled them, nats."""

    advantages_N: Tensor

    weights_N: Tensor
    """Share of each token in the loss, fixed in the stored batch."""

    def to(self, device: torch.device) -> "TokenBatch":
        """The same on `device`."""
        return TokenBatch(
            *(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self))
        )


def collate(micro_batch: MicroBatch) -> TokenBatch:
    """Build the tensors of a micro-batch; an empty one becomes a pass without response tokens."""
    if not micro_batch:
        return _empty()
    lengths = [tokens_of(sequence) for sequence in micro_batch]
    tokens_BT = torch.zeros(len(micro_batch), max(lengths), dtype=torch.long)
    rows: list[Tensor] = []
    columns: list[Tensor] = []
    for row, (sequence, length) in enumerate(zip(micro_batch, lengths, strict=True)):
        prompt = len(sequence.prompt_token_ids)
        tokens_BT[row, :prompt] = _view(sequence.prompt_token_ids, torch.int32)
        tokens_BT[row, prompt:length] = _view(sequence.token_ids, torch.int32)
        rows.append(torch.full((length - prompt,), row))
        columns.append(torch.arange(prompt - 1, length - 1))
    responses = torch.tensor([len(sequence.token_ids) for sequence in micro_batch])
    rows_N, columns_N = torch.cat(rows), torch.cat(columns)
    return TokenBatch(
        tokens_BT=tokens_BT,
        rows_N=rows_N,
        columns_N=columns_N,
        targets_N=tokens_BT[rows_N, columns_N + 1],
        stored_logprobs_N=torch.cat([_view(s.logprobs, torch.float32) for s in micro_batch]),
        advantages_N=_per_token([s.advantage for s in micro_batch], responses),
        weights_N=_per_token([s.token_weight for s in micro_batch], responses),
    )


def _view(values: Sequence[float], dtype: torch.dtype) -> Tensor:
    """The memory of an `array` as a tensor, not empty; millions of tokens need no loop."""
    assert isinstance(values, array)
    return torch.frombuffer(values, dtype=dtype)


def _per_token(values: list[float], responses: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.tensor(values, dtype=torch.float32), responses)


def _empty() -> TokenBatch:
    indexes, numbers = torch.zeros(0, dtype=torch.long), torch.zeros(0)
    return TokenBatch(
        torch.zeros(1, 2, dtype=torch.long), indexes, indexes, indexes, numbers, numbers, numbers
    )
