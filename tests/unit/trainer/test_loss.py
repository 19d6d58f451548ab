"""Shape suffixes: N = response tokens, V = vocabulary, A = arms of a bandit."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.unit.trainer.samples import batch, sequence
from trainer.loss import (
    Objective,
    batch_loss,
    clipped_policy_loss,
    importance,
    mismatch,
    token_statistics,
)
from trainer.microbatches import cut
from trainer.reports import LossSums
from trainer.tensors import collate

ON_POLICY = Objective(clip=0.2, entropy_coef=0.001, importance_bound=None)


class Bigram(nn.Module):
    """The smallest language model there is."""

    def __init__(self, vocabulary: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.next_VV = nn.Parameter(torch.randn(vocabulary, vocabulary, dtype=torch.float64))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        return self.next_VV[tokens_BT]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        pytest.param(1.0, 2.0, -2.0, id="on policy"),
        pytest.param(1.5, 1.0, -1.2, id="good and already likelier: clipped"),
        pytest.param(0.5, 1.0, -0.5, id="good but less likely: not clipped"),
        pytest.param(0.5, -1.0, 0.8, id="bad and already less likely: clipped"),
        pytest.param(1.5, -1.0, 1.5, id="bad but likelier: not clipped"),
    ],
)
def test_clipped_policy_loss(ratio: float, advantage: float, loss: float) -> None:
    found = clipped_policy_loss(
        torch.tensor([math.log(ratio)]),
        torch.zeros(1),
        torch.tensor([advantage]),
        torch.ones(1),
        clip=0.2,
    )

    assert found.item() == pytest.approx(loss, rel=1e-6)


def test_the_loss_is_the_sum_of_the_specification() -> None:
    """By hand, sequence by sequence: minus weight times advantage, minus the entropy bonus."""
    model, sequences = Bigram(), batch(7)
    expected = 0.0
    for one in sequences:
        tokens = [*one.prompt_token_ids, *one.token_ids]
        start = len(one.prompt_token_ids)
        for position in range(start, len(tokens)):
            probs = torch.softmax(model.next_VV[tokens[position - 1]], -1)
            entropy = -(probs * probs.log()).sum().item()
            expected -= one.token_weight * (one.advantage + 0.001 * entropy)

    tokens = collate(tuple(sequences))
    loss, sums = batch_loss(model(tokens.tokens_BT), tokens, ON_POLICY, rows_max=1 << 20)

    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert sums.loss == loss.item()
    assert sums.clipped == 0
    assert sums.tokens == sum(len(one.token_ids) for one in sequences)


@pytest.mark.parametrize("tokens_max", [70, 200, 100_000])
@pytest.mark.parametrize("rows_max", [5, 1 << 20])
def test_however_the_batch_is_cut_the_gradient_is_the_same(tokens_max: int, rows_max: int) -> None:
    def train(tokens_max: int, rows_max: int) -> tuple[Tensor, LossSums]:
        model, total = Bigram(), LossSums()
        for micro_batch in cut(batch(30), tokens_max=tokens_max):
            tokens = collate(micro_batch)
            loss, sums = batch_loss(model(tokens.tokens_BT), tokens, ON_POLICY, rows_max=rows_max)
            loss.backward()
            total += sums
        assert model.next_VV.grad is not None
        return model.next_VV.grad, total

    expected, all_at_once = train(1_000_000, 1 << 20)
    found, in_pieces = train(tokens_max, rows_max)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    assert in_pieces.loss == pytest.approx(all_at_once.loss, rel=1e-5)
    assert in_pieces.mismatch_max == pytest.approx(all_at_once.mismatch_max)


def test_prompt_and_padding_have_no_influence() -> None:
    short, long = sequence(0), sequence(1, prompt_token_ids=[9] * 9, token_ids=[8, 7])
    tokens = collate((long, short))
    logits = Bigram()(tokens.tokens_BT).detach()
    loss, _ = batch_loss(logits, tokens, ON_POLICY, rows_max=1 << 20)

    logits[1, 5:] = torch.nan
    logits[1, :2] = torch.nan
    again, _ = batch_loss(logits, tokens, ON_POLICY, rows_max=1 << 20)

    assert again.item() == loss.item()


def test_an_empty_pass_has_a_gradient_of_zero() -> None:
    model, tokens = Bigram(), collate(())
    loss, sums = batch_loss(model(tokens.tokens_BT), tokens, ON_POLICY, rows_max=1)

    loss.backward()

    assert sums == LossSums()
    assert model.next_VV.grad is not None
    assert not model.next_VV.grad.any()


def test_two_armed_bandit_climbs_the_reward() -> None:
    """The sign test: the arm that pays becomes likelier, whatever it was before."""
    logits_A = torch.tensor([2.0, -2.0], requires_grad=True)
    optimizer = torch.optim.SGD([logits_A], lr=1.0)
    pulls = [sequence(arm, token_ids=[arm], logprobs=[0.0], token_weight=0.5) for arm in (0, 1)]
    rewarded = [
        sequence(p.index, token_ids=p.token_ids, logprobs=p.logprobs, advantage=a)
        for p, a in zip(pulls, (-1.0, 1.0), strict=True)
    ]
    tokens = collate(tuple(rewarded))
    before = torch.softmax(logits_A, -1)[1].item()
    for _ in range(50):
        loss, _ = batch_loss(
            logits_A.expand(*tokens.tokens_BT.shape, 2), tokens, ON_POLICY, rows_max=100
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert before < 0.05
    assert torch.softmax(logits_A, -1)[1].item() > 0.95


def test_the_entropy_bonus_spreads_the_distribution() -> None:
    logits_A = torch.tensor([1.0, 0.0], requires_grad=True)
    tokens = collate((sequence(advantage=0.0, token_ids=[0, 1]),))
    objective = Objective(clip=0.2, entropy_coef=0.1, importance_bound=None)

    loss, sums = batch_loss(
        logits_A.expand(*tokens.tokens_BT.shape, 2), tokens, objective, rows_max=100
    )
    loss.backward()

    assert sums.loss == pytest.approx(-0.1 * sums.entropy)
    assert logits_A.grad is not None
    assert logits_A.grad[0] > 0 > logits_A.grad[1]


def test_stale_tokens_count_by_their_bounded_importance() -> None:
    """A sequence the engine found likelier than we do counts less; the reverse is bounded."""
    tokens = collate((sequence(logprobs=[0.0, -20.0]),))
    logits = torch.zeros(1, 5, 64)
    objective = Objective(clip=0.2, entropy_coef=0.0, importance_bound=2.0)

    loss, _ = batch_loss(logits, tokens, objective, rows_max=100)

    assert loss.item() == pytest.approx(-0.5 * (1 / 64) - 0.5 * 2.0)
    now, stored = torch.tensor([-1.0, -1.0]), torch.tensor([-1.0, -3.0])
    assert importance(now, stored, bound=2.0).tolist() == [1.0, 2.0]


def test_mismatch_of_equal_log_probabilities_is_zero() -> None:
    logprobs = torch.tensor([-1.0, -2.0])

    assert set(mismatch(logprobs, logprobs).values()) == {0.0}


def test_mismatch_is_never_negative_and_names_the_largest() -> None:
    found = mismatch(torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.9]))

    assert found["mismatch_abs"] == pytest.approx(0.6)
    assert found["mismatch_max"] == pytest.approx(0.5)
    expected = (math.exp(0.5) - 1 - 0.5) + (math.exp(-0.1) - 1 + 0.1)
    assert found["mismatch_kl"] == pytest.approx(expected, rel=1e-5)


def test_statistics_in_blocks_are_those_of_the_whole() -> None:
    logits_NV, targets_N = torch.randn(11, 5), torch.randint(0, 5, (11,))

    whole = token_statistics(logits_NV, targets_N, rows_max=11)
    blocks = token_statistics(logits_NV, targets_N, rows_max=3)

    assert torch.equal(whole[0], blocks[0])
    assert torch.equal(whole[1], blocks[1])
    uniform = token_statistics(torch.zeros(1, 5), torch.tensor([2]), rows_max=1)
    assert uniform[0].item() == pytest.approx(-math.log(5))
    assert uniform[1].item() == pytest.approx(math.log(5))
