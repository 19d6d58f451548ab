"""Records survive being rows and being messages."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.buffer import codec
from zeroloop.client import _buffer_wire as wire
from zeroloop.core.rounds import FLOAT32, INT32, Episode, StoredVerdict
from zeroloop.core.tasks import Kind, Outcome, Role

int32s = st.integers(-(2**31), 2**31 - 1)
float32s = st.floats(width=32, allow_nan=False)


@given(st.lists(int32s), st.lists(float32s))
def test_numbers_survive_packing(ints: list[int], floats: list[float]) -> None:
    assert codec.unpack(INT32, codec.pack(array(INT32, ints))).tolist() == ints
    assert codec.unpack(FLOAT32, codec.pack(array(FLOAT32, floats))).tolist() == floats


def test_packed_numbers_are_little_endian_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    here = codec.pack(array(INT32, [1, -2]))
    monkeypatch.setattr(codec.sys, "byteorder", "big")
    swapped = array(INT32, [1, -2])
    swapped.byteswap()

    assert codec.pack(swapped) == here
    assert codec.unpack(INT32, here) == swapped


@given(st.text())
def test_text_survives_packing(text: str) -> None:
    assert codec.unpack_text(codec.pack_text(text)) == text


def test_what_was_pruned_is_empty() -> None:
    assert codec.unpack(INT32, None) == array(INT32)
    assert codec.unpack_text(None) == ""


@given(
    st.lists(int32s),
    st.lists(float32s),
    st.text(),
    st.sampled_from([None, *Outcome]),
    st.floats(allow_nan=False),
)
def test_an_episode_survives_the_wire(
    tokens: list[int], logprobs: list[float], text: str, outcome: Outcome | None, accuracy: float
) -> None:
    episode = Episode(
        index=3,
        kind=Kind.ABDUCTION,
        role=Role.SOLVER,
        prompt_token_ids=tokens,
        token_ids=tokens,
        logprobs=logprobs,
        text=text,
        outcome=outcome,
        accuracy=accuracy,
        seed=-(2**63),
    )

    assert wire.record_from_pb(wire.record_to_pb(episode)) == episode


def test_an_episode_takes_any_sequence_and_keeps_it_small() -> None:
    episode = Episode(
        index=0,
        kind=Kind.DEDUCTION,
        role=Role.PROPOSER,
        prompt_token_ids=(1, 2),
        token_ids=[3],
        logprobs=[-0.1],
    )

    assert episode.prompt_token_ids == array(INT32, [1, 2])
    assert math.isclose(episode.logprobs[0], -0.1, rel_tol=1e-6)
    with pytest.raises(ValueError, match="must fit into 32 bits"):
        Episode(
            index=0,
            kind=Kind.DEDUCTION,
            role=Role.PROPOSER,
            prompt_token_ids=[],
            token_ids=[2**31],
        )


def test_a_verdict_is_exactly_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one of task, rejection and not_executed, got 0"):
        StoredVerdict(index=4)
    with pytest.raises(ValueError, match="got 2"):
        StoredVerdict(index=4, rejection="syntax", not_executed="no sandbox")
