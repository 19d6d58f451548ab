"""Records survive being rows and being messages."""

import math
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.buffer import codec
from zeroloop.client import _buffer_wire as wire
from zeroloop.core.rounds import FLOAT32, INT32, Episode, StoredVerdict
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task

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


def test_what_a_proposal_builds_on_survives_rows_and_the_wire() -> None:
    episode = Episode(
        index=0,
        kind=Kind.DEDUCTION,
        role=Role.PROPOSER,
        prompt_token_ids=[1],
        token_ids=[2],
        reference_task_ids=("r-1",),
        composite_task_ids=("r-4", "r-2"),
    )
    built = Task(
        domain="code",
        kind=Kind.DEDUCTION,
        program="def g_0(x):\n    return x\n\ndef f(x):\n    return g_0(x) + 1",
        cases=(Case("1", "2"),),
        composites=("def g_0(x):\n    return x",),
    )
    for record in (episode, StoredVerdict(index=0, task=built)):
        (row,) = codec.rows_of(1, 0, [record])[type(record)]
        assert codec.record_of(type(record), SimpleNamespace(**row)) == record
        assert wire.record_from_pb(wire.record_to_pb(record)) == record


def test_a_task_that_was_stored_before_there_were_composites_builds_on_nothing() -> None:
    task = Task(domain="code", kind=Kind.DEDUCTION, program="p", cases=(Case("1", "2"),))
    columns = codec.task_columns(task)
    del columns["composites"]

    assert codec.task_of(columns) == task


def test_a_verdict_is_exactly_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one of task, rejection and not_executed, got 0"):
        StoredVerdict(index=4)
    with pytest.raises(ValueError, match="got 2"):
        StoredVerdict(index=4, rejection="syntax", not_executed="no sandbox")
