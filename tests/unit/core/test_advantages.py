"""TRR++: one baseline per group, weights that no micro-batch can change."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroloop.core.advantages import batch_signals, token_weights, whiten

REWARDS = [1.0, 1.0, -0.5, -0.5]
LENGTHS = [100, 100, 1000, 1000]


def test_long_responses_dominate_the_token_baseline() -> None:
    advantages = whiten(REWARDS, LENGTHS)
    assert advantages == pytest.approx([3.1616, 3.1616, -0.3162, -0.3162], abs=5e-5)


def test_the_sequence_baseline_ignores_lengths() -> None:
    assert whiten(REWARDS, LENGTHS, "sequence") == pytest.approx(
        [0.866, 0.866, -0.866, -0.866], abs=5e-4
    )


@pytest.mark.parametrize(
    ("rewards", "lengths"),
    [
        pytest.param([0.1] * 5, [1, 2, 3, 4, 5], id="equal rewards"),
        pytest.param([1.0], [50], id="one episode"),
        pytest.param([1.0, -1.0], [1, 0], id="one token"),
        pytest.param([1.0, -1.0], [0, 0], id="no token"),
        pytest.param([], [], id="nothing"),
        pytest.param([1.0, 1.0, -1.0], [3, 4, 0], id="the other reward has no token"),
    ],
)
def test_no_spread_means_no_signal(rewards: list[float], lengths: list[int]) -> None:
    assert whiten(rewards, lengths) == [0.0] * len(rewards)


@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, -0.5, 0.125, 0.5, 1.0]), st.integers(1, 999)), min_size=2
    )
)
def test_token_advantages_have_mean_0_and_deviation_1(group: list[tuple[float, int]]) -> None:
    rewards, lengths = [reward for reward, _ in group], [length for _, length in group]
    advantages = whiten(rewards, lengths)
    total = sum(lengths)
    weighted = list(zip(advantages, lengths, strict=True))
    assert math.fsum(length * value for value, length in weighted) / total == pytest.approx(
        0, abs=1e-6
    )
    if any(advantages):
        variance = math.fsum(length * value**2 for value, length in weighted) / (total - 1)
        assert variance == pytest.approx(1, rel=1e-3)


def test_misaligned_sequences_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        whiten([1.0], [1, 2])
    with pytest.raises(ValueError, match="zip"):
        batch_signals(["a"], [1.0], [])


def test_384_sequences_are_24_chunks_of_16_that_weigh_the_same() -> None:
    groups = [group for group in range(6) for _ in range(64)]
    lengths = [1 + (index * 37) % 500 for index in range(384)]
    rewards = [float(index % 2) for index in range(384)]
    signals = batch_signals(groups, rewards, lengths)
    for start in range(0, 384, 16):
        chunk = range(start, start + 16)
        tokens = sum(lengths[index] for index in chunk)
        for index in chunk:
            assert signals[index].weight == pytest.approx(1 / 6 * 1 / 4 * 1 / tokens)


def test_each_group_weighs_the_same_whatever_its_lengths() -> None:
    signals = batch_signals(["a", "a", "b"], [1.0, 0.0, 1.0], [10, 30, 400])
    assert [signal.weight for signal in signals] == pytest.approx([1 / 80, 1 / 80, 1 / 800])


def test_groups_are_told_apart_even_if_interleaved() -> None:
    mixed = batch_signals(["a", "b", "a", "b"], [1, 5, 0, 7], [3, 4, 5, 6])
    a, b = whiten([1, 0], [3, 5]), whiten([5, 7], [4, 6])
    assert [signal.advantage for signal in mixed] == [a[0], b[0], a[1], b[1]]


def test_sequence_mean_weighs_every_sequence_of_the_batch_the_same() -> None:
    signals = batch_signals(["a", "a", "b"], [1, 0, 1], [10, 20, 40], loss_mean="sequence")
    assert [signal.weight for signal in signals] == pytest.approx([1 / 30, 1 / 60, 1 / 120])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), min_size=1, max_size=120),
    st.sampled_from(["token", "sequence"]),
    st.integers(1, 20),
)
def test_the_weights_of_all_tokens_sum_to_1(
    batch: list[tuple[int, int]], loss_mean: str, chunk: int
) -> None:
    groups, lengths = [group for group, _ in batch], [length for _, length in batch]
    signals = batch_signals(groups, [0.0] * len(batch), lengths, loss_mean=loss_mean, chunk=chunk)
    total = math.fsum(
        signal.weight * length for signal, length in zip(signals, lengths, strict=True)
    )
    assert total == pytest.approx(1.0 if any(lengths) else 0.0)


def test_an_empty_response_weighs_nothing_and_its_part_is_shared() -> None:
    assert token_weights([0, 2], chunk=1) == [0.0, 0.5]
    signals = batch_signals(["a", "b"], [1.0, 1.0], [0, 4])
    assert [signal.weight for signal in signals] == [0.0, 0.25]
