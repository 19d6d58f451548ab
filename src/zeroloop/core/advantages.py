"""Advantages and loss weights: how much each token of a batch pulls, and in which direction.

Source: arXiv:2505.03335, "Task-Relative REINFORCE++" (TRR++). Each (kind, role) is a group
with a baseline of its own, because the six live on different reward scales.

Shape suffixes: B = episodes in the batch, G = episodes of one group.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Norm: TypeAlias = Literal["token", "sequence"]
LossMean: TypeAlias = Literal["token", "sequence"]

EPSILON = 1e-8
"""Added to the variance."""

CHUNK_SEQUENCES = 16
"""Sequences of one chunk of the loss, whatever the hardware's micro-batch is."""


@dataclass(frozen=True, slots=True)
class TokenSignal:
    """What every response token of one episode carries into the loss."""

    advantage: float
    weight: float
    """Of each response token. The weights of all tokens of a batch sum to 1."""


def whiten(
    rewards_G: Sequence[float], lengths_G: Sequence[int], norm: Norm = "token"
) -> list[float]:
    """Standardise the rewards of one group.

    `token`: mean and deviation run over response tokens, so long responses dominate:
    N = sum l, mu = sum l R / N, var = [sum l (R - mu)^2 / N] N / (N - 1),
    A = (R - mu) (var + 1e-8)^(-1/2). `sequence`: the same with every length 1.

    Args:
        rewards_G: One scalar reward per episode.
        lengths_G: Response length of each episode in tokens, 0 allowed.
        norm: What the mean and deviation run over.

    Returns:
        advantages_G. All 0 if the rewards are equal, or if there are fewer than two tokens
        (or sequences): no spread means no signal.

    Raises:
        ValueError: If the two sequences differ in length.
    """
    weights_G = list(lengths_G) if norm == "token" else [1] * len(lengths_G)
    pairs = list(zip(rewards_G, weights_G, strict=True))
    total = sum(weights_G)
    if total < 2 or len({reward for reward, weight in pairs if weight}) < 2:
        return [0.0] * len(pairs)
    mean = math.fsum(weight * reward for reward, weight in pairs) / total
    squares = math.fsum(weight * (reward - mean) ** 2 for reward, weight in pairs)
    scale = 1 / math.sqrt(squares / (total - 1) + EPSILON)
    return [(reward - mean) * scale for reward in rewards_G]


def token_weights(
    lengths_G: Sequence[int], loss_mean: LossMean = "token", chunk: int = CHUNK_SEQUENCES
) -> list[float]:
    """Weight of each response token of a group's episodes; over the group they sum to 1.

    `token`: the group is cut into chunks of `chunk` sequences in order. Each chunk weighs the
    same, and within it every token: 1/chunks x 1/response tokens of the chunk. `sequence`:
    each sequence weighs the same: 1/sequences x 1/its response tokens.

    Chunks and sequences without any token weigh nothing, and the others share their part.

    Args:
        lengths_G: Response length of each episode in tokens.
        loss_mean: What weighs the same.
        chunk: Sequences per chunk, >= 1.
    """
    size = chunk if loss_mean == "token" else 1
    starts = range(0, len(lengths_G), size)
    totals = [sum(lengths_G[start : start + size]) for start in starts]
    parts = sum(total > 0 for total in totals)
    return [
        1 / parts / totals[index // size] if totals[index // size] else 0.0
        for index in range(len(lengths_G))
    ]


def batch_signals(
    groups_B: Sequence[Hashable],
    rewards_B: Sequence[float],
    lengths_B: Sequence[int],
    *,
    norm: Norm = "token",
    loss_mean: LossMean = "token",
    chunk: int = CHUNK_SEQUENCES,
) -> list[TokenSignal]:
    """Advantage and token weight of each episode of a batch, fixed when the batch is stored.

    Each group is whitened on its own and weighs 1/groups in the loss, whatever its lengths.
    Micro-batches and ranks only sum, so they cannot change the loss. With `loss_mean`
    sequence every sequence of the batch weighs the same.

    Args:
        groups_B: The (kind, role) of each episode, or any label; in batch order.
        rewards_B: Rewards. An episode that was not executed has none and cannot be here.
        lengths_B: Response lengths in tokens.
        norm: See `whiten`.
        loss_mean: See `token_weights`.
        chunk: See `token_weights`.

    Raises:
        ValueError: If the sequences differ in length.
    """
    members: dict[Hashable, list[int]] = {}
    for index, (group, _, _) in enumerate(zip(groups_B, rewards_B, lengths_B, strict=True)):
        members.setdefault(group, []).append(index)
    trained = {
        group: sum(lengths_B[index] > 0 for index in indices) for group, indices in members.items()
    }
    signals: list[TokenSignal] = [TokenSignal(0.0, 0.0)] * len(groups_B)
    for group, indices in members.items():
        lengths_G = [lengths_B[index] for index in indices]
        advantages_G = whiten([rewards_B[index] for index in indices], lengths_G, norm)
        weights_G = token_weights(lengths_G, loss_mean, chunk)
        share = _share(trained, group, loss_mean)
        for index, advantage, weight in zip(indices, advantages_G, weights_G, strict=True):
            signals[index] = TokenSignal(advantage, weight * share)
    return signals


def _share(trained: dict[Hashable, int], group: Hashable, loss_mean: LossMean) -> float:
    """The part of the loss that belongs to `group`; `trained` counts non-empty sequences."""
    if not trained[group]:
        return 0.0
    if loss_mean == "sequence":
        return trained[group] / sum(trained.values())
    return 1 / sum(count > 0 for count in trained.values())
