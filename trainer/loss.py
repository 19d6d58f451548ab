"""The objective, and how far engine and trainer disagree.

The loss of a batch is, over its response tokens with the weights w stored with it (they sum
to 1): sum of w * max(-A*s, -A*clip(s)) minus `entropy_coef` times the sum of w * entropy. So
the entropy bonus is a mean over the same tokens with the same weights as the policy loss.

Shape suffixes: B = sequences in the micro-batch, T = tokens, padded, N = response tokens of
all of its sequences, V = vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainer.reports import LossSums
from trainer.tensors import TokenBatch


@dataclass(frozen=True, slots=True)
class Objective:
    """What is optimised: the settings of the same names."""

    clip: float
    entropy_coef: float

    importance_bound: float | None
    """None at `max_staleness` 0."""


def batch_loss(
    logits_BTV: Tensor, batch: TokenBatch, objective: Objective, *, rows_max: int
) -> tuple[Tensor, LossSums]:
    """Return a micro-batch's share of the loss, with its graph, and what to report.

    The old log-probabilities are those of this very pass: with one step per batch the
    weights are the same, so the ratio is exactly 1 and its gradient that of the log-probability.

    Args:
        rows_max: Response tokens whose logits may be held in 32 bits at once.
    """
    if not len(batch.targets_N):
        # No share in the loss, yet a graph: ZeRO waits for every parameter's gradient.
        return logits_BTV.float().sum() * 0.0, LossSums()
    logits_NV = logits_BTV[batch.rows_N, batch.columns_N]
    logprobs_N, entropies_N = token_statistics(logits_NV, batch.targets_N, rows_max=rows_max)
    old_logprobs_N = logprobs_N.detach()
    weights_N = batch.weights_N
    if objective.importance_bound is not None:
        weights_N = weights_N * importance(
            old_logprobs_N, batch.stored_logprobs_N, bound=objective.importance_bound
        )
    policy_loss = clipped_policy_loss(
        logprobs_N, old_logprobs_N, batch.advantages_N, weights_N, clip=objective.clip
    )
    entropy = (batch.weights_N * entropies_N).sum()
    loss = policy_loss - objective.entropy_coef * entropy
    ratio_N = torch.exp(old_logprobs_N - logprobs_N.detach())
    sums = LossSums(
        loss=loss.item(),
        policy_loss=policy_loss.item(),
        entropy=entropy.item(),
        clipped=float(((ratio_N - 1).abs() > objective.clip).sum().item()),
        tokens=float(len(batch.targets_N)),
        **mismatch(old_logprobs_N, batch.stored_logprobs_N),
    )
    return loss, sums


def clipped_policy_loss(
    logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    advantages_N: Tensor,
    weights_N: Tensor,
    *,
    clip: float,
) -> Tensor:
    """PPO's clipped surrogate, summed with the token weights of the stored batch.

    Args:
        logprobs_N: Log-probabilities under the weights being trained, nats.
        old_logprobs_N: The same tokens before the step, by the trainer, nats.
        advantages_N: The advantage of the sequence that each token belongs to.
        weights_N: Share of each token in the loss.
        clip: Largest rewarded change of a token's probability ratio, in (0, 1).

    Returns:
        Scalar share of the loss; lower is better.

    Source: Schulman et al., arXiv:1707.06347, equation 7.
    """
    ratio_N = torch.exp(logprobs_N - old_logprobs_N)
    surrogate_N = torch.minimum(
        ratio_N * advantages_N, ratio_N.clamp(1 - clip, 1 + clip) * advantages_N
    )
    return -(surrogate_N * weights_N).sum()


def importance(old_logprobs_N: Tensor, stored_logprobs_N: Tensor, *, bound: float) -> Tensor:
    """Truncated importance correction: min(probability now / when sampled, `bound`)."""
    return torch.exp(old_logprobs_N - stored_logprobs_N).clamp(max=bound)


def mismatch(logprobs_N: Tensor, stored_logprobs_N: Tensor) -> dict[str, float]:
    """Compare the trainer's log-probabilities with those stored by the engine.

    The tokens were sampled by the engine, so exp(d) - 1 - d with d = trainer - engine is an
    unbiased estimate of KL(engine || trainer) of which no term is negative.
    """
    difference_N = logprobs_N - stored_logprobs_N
    return {
        "mismatch_abs": difference_N.abs().sum().item(),
        "mismatch_kl": (torch.expm1(difference_N) - difference_N).sum().item(),
        "mismatch_max": difference_N.abs().max().item(),
    }


def token_statistics(
    logits_NV: Tensor, targets_N: Tensor, *, rows_max: int
) -> tuple[Tensor, Tensor]:
    """Return log-probability of each target and entropy of each distribution, nats, 32 bits.

    With large vocabularies the 32-bit copies of the logits outgrow everything else, so they
    are made for `rows_max` tokens at a time, and again in the backward pass.
    """
    if len(targets_N) <= rows_max:
        return _statistics(logits_NV, targets_N)
    blocks: list[tuple[Tensor, Tensor]] = [
        checkpoint(_statistics, logits, targets, use_reentrant=False)
        for logits, targets in zip(
            logits_NV.split(rows_max), targets_N.split(rows_max), strict=True
        )
    ]
    return torch.cat([block[0] for block in blocks]), torch.cat([block[1] for block in blocks])


def _statistics(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    logprobs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    chosen_N = logprobs_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    entropies_N = -(logprobs_NV.exp() * logprobs_NV).sum(-1)
    return chosen_N, entropies_N
