"""Whatever comes from a sandbox or a caller: a value within bounds, or the documented error."""

import contextlib
import dataclasses
import struct
import time
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.execution.frames import Done, FrameError, How, Reply, RunOrder, decode_reply
from services.execution.outcome import (
    MESSAGE_CHARS_MAX,
    NAME_BYTES_MAX,
    Outcome,
    compare,
    outcome_of,
)
from services.execution.requests import ARGUMENTS_BYTES_MAX, order_of
from tests.unit.core.test_literals import VALUES
from zeroloop.client import _execution_wire as wire
from zeroloop.core.canonical import CanonicalError, canonical_text
from zeroloop.core.execution import Determinism, Limits, Result
from zeroloop.core.literals import LiteralError, parse_arguments, parse_canonical, parse_literal
from zeroloop.core.tasks import RunStatus
from zeroloop.execution.v1 import execution_pb2 as pb

VALUE_BYTES, STDOUT_BYTES = 64, 32

LENGTHS = st.one_of(st.integers(0, 80), st.sampled_from([4096, 1 << 16, 1 << 31, (1 << 32) - 1]))
FIELDS = st.builds(
    lambda length, data, honest: struct.pack("<I", len(data) if honest else length) + data,
    LENGTHS,
    st.one_of(st.binary(max_size=70), st.text(max_size=30).map(str.encode)),
    st.booleans(),
)
CLAIMS = st.builds(
    lambda status, truncated, fields, rest: status + truncated + b"".join(fields) + rest,
    st.one_of(st.sampled_from([b"o", b"e", b"m", b"l", b"p"]), st.binary(max_size=1)),
    st.sampled_from([b"\0", b"\1", b"\2", b""]),
    st.lists(FIELDS, min_size=3, max_size=5),
    st.sampled_from([b"", b"\0", b"o\0"]),
)
HONEST = b"o\1" + b"".join(
    struct.pack("<I", len(field)) + field for field in (b"int", b"", b"42", "é\n".encode())
)
MUTATED = st.builds(
    lambda place, size, change: HONEST[:place] + change + HONEST[place + size :],
    st.integers(0, len(HONEST)),
    st.integers(0, 4),
    st.binary(max_size=4),
)
ANSWERS = st.one_of(st.binary(max_size=300), CLAIMS, MUTATED)
SECONDS = st.integers(0, 10**12).map(lambda micros: micros / 1e6)
ENDS = st.builds(
    Done,
    run_id=st.integers(0, 1 << 32),
    how=st.sampled_from(How),
    code=st.integers(0, (1 << 32) - 1),
    cpu_s=SECONDS,
    wall_s=SECONDS,
    peak_memory_bytes=st.integers(0, (1 << 63) - 1),
    answer=ANSWERS,
)
PAYLOADS = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda kind, rest: kind + rest, st.sampled_from([b"A", b"O", b"F", b"D"]), st.binary()
    ),
    st.builds(
        lambda how, numbers, answer: b"D" + struct.pack("<IcIQQQ", 7, how, *numbers) + answer,
        st.sampled_from([how.value for how in How] + [b"?", b"\0"]),
        st.tuples(*[st.integers(0, (1 << 32) - 1)] * 4),
        ANSWERS,
    ),
)


@given(PAYLOADS)
@settings(deadline=None, max_examples=200)
def test_any_frame_is_a_reply_or_a_frame_error(payload: bytes) -> None:
    try:
        reply = decode_reply(payload)
    except FrameError:
        return
    assert isinstance(reply, Reply)
    if isinstance(reply, Done):
        judged(reply)


@given(ENDS)
@settings(deadline=None, max_examples=200)
def test_any_answer_is_an_outcome_within_its_bounds(done: Done) -> None:
    judged(done)


def test_a_number_that_cannot_travel_is_a_frame_error() -> None:
    payload = b"D" + struct.pack("<IcIQQQ", 7, b"E", 0, 1, 1, 1 << 63)

    with pytest.raises(FrameError):
        travelled(judged(cast("Done", decode_reply(payload))))


@given(ANSWERS)
@settings(deadline=None, max_examples=100)
def test_only_a_clean_exit_with_an_answer_can_be_ok(answer: bytes) -> None:
    for how in How:
        outcome = judged(Done(1, how, 0 if how is How.EXITED else 9, 0.1, 0.1, 1, answer))
        if outcome.status is RunStatus.OK:
            assert how is How.EXITED
            assert outcome.value


@given(st.one_of(CLAIMS, MUTATED, st.just(HONEST)), ANSWERS)
@settings(deadline=None)
def test_no_two_answers_are_one(first: bytes, second: bytes) -> None:
    if judged(ended(first)).status is RunStatus.GARBLED or not second:
        return
    assert judged(ended(first + second)).status is RunStatus.GARBLED


@given(ENDS, ENDS)
@settings(deadline=None)
def test_any_two_outcomes_compare_alike_both_ways(first: Done, second: Done) -> None:
    one, other = judged(first), judged(second)

    assert compare(one, other) is compare(other, one)
    assert compare(one, one) in (Determinism.YES, Determinism.UNKNOWN)


def ended(answer: bytes) -> Done:
    return Done(1, How.EXITED, 0, 0.1, 0.1, 1, answer)


def judged(done: Done) -> Outcome:
    """The outcome, whose every field is checked against its bound."""
    outcome = outcome_of(done, value_bytes=VALUE_BYTES, stdout_bytes=STDOUT_BYTES)
    assert isinstance(outcome.status, RunStatus)
    assert len(outcome.value.encode()) <= VALUE_BYTES
    assert bool(outcome.value) is (outcome.status is RunStatus.OK)
    assert len(outcome.stdout) <= STDOUT_BYTES
    assert len(outcome.type_name) <= NAME_BYTES_MAX
    assert len(outcome.message) <= MESSAGE_CHARS_MAX
    assert travelled(outcome) == outcome
    return outcome


def travelled(outcome: Outcome) -> Outcome:
    """What callers get of it."""
    fields = {field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome)}
    result = Result(program_id="", input_index=0, **fields)
    message = pb.Result.FromString(wire.result_to_pb(result).SerializeToString())
    result = wire.result_from_pb(message)
    return Outcome(**{name: getattr(result, name) for name in fields})


PIECES = [*"()[]{},:=*-+#'\"\\ \n_", "1", "1e999", "0x", "nan", "inf", "set()", "b'", "..."]
PIECES += ["frozenset(", "range(", "complex(1.0, ", "dict(a=", "list(range(", "float(", "True"]
PIECES += ["\0", "\ud800"]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text(max_size=40))


@given(TEXTS)
@settings(deadline=None, max_examples=200)
def test_any_input_is_an_order_or_an_input_error(text: str) -> None:
    order = order_of("def f(*a, **k): return a, k", text, Limits())

    if isinstance(order, RunOrder):
        assert len(order.arguments) <= ARGUMENTS_BYTES_MAX
        written = parse_canonical(order.arguments.decode(), bytes_max=ARGUMENTS_BYTES_MAX)
        assert canonical_text(written).encode() == order.arguments
    else:
        assert (order.status, order.type_name) == (RunStatus.ERROR, "LiteralError")
        assert len(order.message) <= MESSAGE_CHARS_MAX


@given(TEXTS)
@settings(deadline=None, max_examples=200)
def test_any_text_is_refused_or_a_value_with_one_canonical_text(text: str) -> None:
    for parse in (parse_literal, lambda text: parse_arguments(text).args):
        try:
            text_again = canonical_text(parse(text))
        except (LiteralError, CanonicalError):
            continue
        assert canonical_text(parse_canonical(text_again)) == text_again


@given(VALUES)
@settings(deadline=None)
def test_a_value_reaches_the_sandbox_as_itself(value: Any) -> None:
    order = order_of("", f"{canonical_text(value)}, key={canonical_text([value])}", Limits())

    assert isinstance(order, RunOrder)
    (read,), names = cast("Any", parse_canonical(order.arguments.decode()))
    assert same(read, value)
    assert same(names, {"key": [value]})


def same(left: Any, right: Any) -> bool:
    """Whether two values are alike in type, order and sign, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        items = cast("list[Any]", left)
        return len(items) == len(right) and all(map(same, items, right))
    if isinstance(left, dict):
        return same(list(cast("dict[Any, Any]", left).items()), list(right.items()))
    if isinstance(left, set | frozenset):
        rest = list(right)
        for item in cast("set[Any]", left):
            place = next((i for i, other in enumerate(rest) if same(item, other)), None)
            if place is None:
                return False
            rest.pop(place)
        return not rest
    return repr(left) == repr(right)


@given(st.integers(1, 64), st.lists(TEXTS, max_size=4))
@settings(deadline=None)
def test_no_text_is_longer_than_its_limit(bytes_max: int, value: list[str]) -> None:
    try:
        assert len(canonical_text(value, bytes_max=bytes_max).encode()) <= bytes_max
    except CanonicalError:
        assert len(canonical_text(value).encode()) > bytes_max


@pytest.mark.parametrize("constructor", ["set", "frozenset"])
def test_no_short_text_takes_long_to_read(constructor: str) -> None:
    same_hash = (1 << 61) - 1
    harmless = f"{constructor}(range(0, {4000 * 2}, 2))"
    hostile = f"{constructor}(range(0, {4000 * same_hash}, {same_hash}))"

    assert reading_s(hostile) < 50 * reading_s(harmless)


def reading_s(text: str) -> float:
    """Processor time of reading an input; the least of some."""
    times_s: list[float] = []
    for _ in range(3):
        before_s = time.process_time()
        with contextlib.suppress(LiteralError):
            parse_arguments(text)
        times_s.append(time.process_time() - before_s)
    return min(times_s)
