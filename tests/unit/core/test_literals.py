"""Text to value and back: exact where it must be, refusing everything else."""

import math
import string
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroloop.core.canonical import INT_END
from zeroloop.core.literals import (
    Arguments,
    LiteralError,
    OpaqueValueError,
    ValueTooLargeError,
    canonical_arguments,
    canonical_text,
    equal,
    parse_arguments,
    parse_canonical,
    parse_literal,
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.just(...),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=8),
    st.binary(max_size=8),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-2, -1, 1, 3])),
)
HASHABLES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(HASHABLES, max_size=4),
        st.dictionaries(HASHABLES, inner, max_size=4),
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(deadline=None)
def test_every_canonical_text_reads_back_to_itself(value: Any) -> None:
    text = canonical_text(value)
    assert canonical_text(parse_canonical(text)) == text
    assert canonical_text(parse_literal(text)) == text
    (read,) = parse_arguments(text).args
    assert canonical_text(read) == text


@given(VALUES, VALUES)
@settings(deadline=None)
def test_typed_equality_is_an_equivalence_that_plain_equality_contains(a: Any, b: Any) -> None:
    assert equal(a, a, typed=True)
    assert equal(a, b, typed=True) == equal(b, a, typed=True)


@given(st.text(st.sampled_from("()[]{}',:#=*_fx019.+-e\n \\") | st.sampled_from(string.printable)))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_arguments, parse_literal, parse_canonical):
        try:
            parse(text)
        except LiteralError:
            continue


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (..., "..."),
        (-7, "-7"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (-0.0, "-0.0"),
        (math.nan, "nan"),
        (-math.nan, "nan"),
        (-math.inf, "-inf"),
        (1j, "complex(0.0, 1.0)"),
        (complex(-0.0, math.nan), "complex(-0.0, nan)"),
        ("Hello world", "'Hello world'"),
        ("a'b", '"a\'b"'),
        ("\0\ud800\n", "'\\x00\\ud800\\n'"),
        (b"\xff", "b'\\xff'"),
        ([], "[]"),
        ((), "()"),
        ((1,), "(1,)"),
        ([1, (2, 3)], "[1, (2, 3)]"),
        ([1, True, -2], "[1, True, -2]"),
        ((10**18 - 1, -(10**18)), "(999999999999999999, -1000000000000000000)"),
        ({"b": 1, "a": [2]}, "{'b': 1, 'a': [2]}"),
        (set(), "set()"),
        ({10, 9}, "{10, 9}"),
        (frozenset(), "frozenset()"),
        (frozenset({"b", "a"}), "frozenset({'a', 'b'})"),
        (range(3), "range(0, 3)"),
        (range(5, 0, -2), "range(5, 0, -2)"),
    ],
)
def test_canonical_text(value: Any, text: str) -> None:
    assert canonical_text(value) == text


class _List(list[int]):
    pass


def _self_containing() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def _nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param(_List([1]), id="a subclass of a plain type"),
        pytest.param([Decimal(1)], id="an object inside"),
        pytest.param(lambda: 1, id="a function"),
        pytest.param(bytearray(b"x"), id="a bytearray"),
        pytest.param(_self_containing(), id="a list containing itself"),
        pytest.param(_nested(101), id="101 deep"),
    ],
)
def test_what_is_not_plain_is_opaque(value: object) -> None:
    with pytest.raises(OpaqueValueError):
        canonical_text(value)


class _Disguise(type):
    """A metaclass that pretends to be `list` and notes who asks."""

    asked = False

    def __hash__(cls) -> int:
        _Disguise.asked = True
        return hash(list)

    def __eq__(cls, other: object) -> bool:
        _Disguise.asked = True
        return True

    @property
    def __name__(cls) -> str:
        _Disguise.asked = True
        return "list"


class _Disguised(metaclass=_Disguise):
    pass


def test_no_code_of_a_value_runs_while_it_is_written() -> None:
    with pytest.raises(OpaqueValueError, match="value of type _Disguised"):
        canonical_text([_Disguised()])
    assert not _Disguise.asked


def test_100_deep_is_plain_and_reads_back() -> None:
    text = canonical_text(_nested(100))
    assert canonical_text(parse_canonical(text)) == text


def _doubling(times: int) -> object:
    value: object = []
    for _ in range(times):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(INT_END, id="int of 4301 digits"),
        pytest.param(-INT_END, id="negative int of 4301 digits"),
        pytest.param(1 << 10_000_000, id="enormous int"),
        pytest.param("x" * 65_535, id="text one byte over with its quotes"),
        pytest.param("x" * 10_000_000, id="enormous text"),
        pytest.param("é" * 40_000, id="text whose bytes exceed the limit"),
        pytest.param(_doubling(90), id="shared parts that unfold to 2**90"),
        pytest.param(list(range(100_000)), id="long list"),
        pytest.param([10**17] * 5_900, id="list a little too long"),
    ],
)
def test_what_exceeds_a_limit_is_too_large_and_never_cut(value: object) -> None:
    with pytest.raises(ValueTooLargeError):
        canonical_text(value)


def test_99_frozensets_in_each_other_read_back() -> None:
    value: frozenset[Any] = frozenset()
    for _ in range(98):
        value = frozenset({value})
    text = canonical_text(value)
    assert canonical_text(parse_canonical(text)) == text


def test_the_largest_text_and_int_are_written() -> None:
    assert len(canonical_text("x" * 65_534)) == 65_536
    assert len(canonical_text(INT_END - 1)) == 4300
    assert canonical_text([[0] * 3] * 5000).count("0") == 15_000


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", Arguments()),
        ("1", Arguments((1,))),
        ("1, 'a', [2.5]", Arguments((1, "a", [2.5]))),
        ("1,\n  2,  # two\n", Arguments((1, 2))),
        ("dict(a=1, b=2)", Arguments(({"a": 1, "b": 2},))),
        ("x=1, y=(2,)", Arguments((), {"x": 1, "y": (2,)})),
        ("set(), frozenset([1]), {2}", Arguments((set(), frozenset([1]), {2}))),
        ("list(range(3)), tuple('ab')", Arguments(([0, 1, 2], ("a", "b")))),
        ("-5, +5, -inf, 1+2j", Arguments((-5, 5, -math.inf, 1 + 2j))),
        ("float('-inf'), int('0x10', 16), bool(), str(5)", Arguments((-math.inf, 16, False, "5"))),
        ("complex(1, 2), bytes([1]), b'x' b'y'", Arguments((1 + 2j, b"\x01", b"xy"))),
        ("dict([('a', 1)], b=2)", Arguments(({"a": 1, "b": 2},))),
        (r"'\d'", Arguments((r"\d",))),
    ],
)
def test_an_input_reads_as_its_values(text: str, arguments: Arguments) -> None:
    assert parse_arguments(text) == arguments


@given(st.text("-0123456789., []", max_size=40))
@settings(max_examples=2000)
def test_numbers_are_read_as_the_python_that_they_are(text: str) -> None:
    """Bare numbers take a way of their own, which a line's end keeps them from."""

    def read(written: str) -> str:
        try:
            return repr(parse_arguments(written))
        except LiteralError:
            return "refused"

    assert read(text) == read(f"{text}\n")


def test_many_opening_brackets_are_refused() -> None:
    for count in (100, 101, 50_000):
        with pytest.raises(LiteralError):
            parse_arguments("[" * count)


def test_nan_is_read_as_an_input() -> None:
    first, second = parse_arguments("dict(a=1), float('nan')").args
    assert first == {"a": 1}
    assert isinstance(second, float)
    assert math.isnan(second)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1) or True #", id="closing our parenthesis"),
        pytest.param("1)(2", id="a call of the call"),
        pytest.param("1), f(2", id="a tuple of calls"),
        pytest.param("1) if 1 else f(2", id="a conditional of calls"),
        pytest.param("1\n) or f(\n2", id="the same over several lines"),
        pytest.param("__import__('os')", id="an import"),
        pytest.param("eval(gold_output)", id="eval"),
        pytest.param("x", id="a name"),
        pytest.param("(lambda: 1)()", id="a lambda"),
        pytest.param("[x for x in (1,)]", id="a comprehension"),
        pytest.param("x for x in (1,)", id="a generator"),
        pytest.param("f'{1}'", id="an f-string"),
        pytest.param("*[1]", id="unpacking"),
        pytest.param("**{'a': 1}", id="unpacking a dict"),
        pytest.param("{**{'a': 1}}", id="unpacking into a dict"),
        pytest.param("a=1, a=2", id="a keyword twice"),
        pytest.param("'a' * 10**9", id="multiplication"),
        pytest.param("2**9999", id="a power"),
        pytest.param("1 + 1", id="addition"),
        pytest.param("(1).real", id="an attribute"),
        pytest.param("[1][0]", id="a subscript"),
        pytest.param("{[]}", id="an unhashable element"),
        pytest.param("(y := 1)", id="an assignment"),
        pytest.param("-True", id="a sign before a bool"),
        pytest.param("9" * 4301, id="4301 digits"),
        pytest.param("0x" + "f" * 10_000, id="a huge hexadecimal int"),
        pytest.param("int('" + "f" * 10_000 + "', 16)", id="a huge int by its constructor"),
        pytest.param("int(inf)", id="an int of infinity"),
        pytest.param("10000000000" * 40 + "+1j", id="an int too large for a complex"),
        pytest.param("list(range(10**9))", id="an unfolded power"),
        pytest.param("list(range(1000000000))", id="a long range unfolded"),
        pytest.param("list(range(1" + "0" * 100 + "))", id="a range longer than an index"),
        pytest.param(", ".join(["list(range(60000))"] * 2), id="many ranges unfolded"),
        pytest.param("bytes(1000000000)", id="many bytes"),
        pytest.param("list({'a', 'b'})", id="an order that depends on the hash seed"),
        pytest.param("str({'a', 'b'})", id="a text that depends on the hash seed"),
        pytest.param("open('x')", id="a function outside the list"),
        pytest.param("set(a=1)", id="a constructor misused"),
        pytest.param("[" * 150 + "]" * 150, id="150 deep"),
        pytest.param("[" * 30_000, id="a recursion bomb of brackets"),
        pytest.param("-" * 60_000 + "1", id="a recursion bomb of signs"),
        pytest.param("1" + "+1" * 30_000, id="a recursion bomb of sums"),
        pytest.param("a" + "()" * 30_000, id="a recursion bomb of calls"),
        pytest.param("float(" * 150 + "1" + ")" * 150, id="nested constructors"),
        pytest.param("'" + "x" * 65_536 + "'", id="more than 64 KiB"),
        pytest.param("'\0'", id="a NUL character"),
        pytest.param("'\ud800'", id="a lone surrogate"),
        pytest.param("1; 2", id="two statements"),
    ],
)
def test_an_input_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_arguments(text)


def test_an_answer_of_several_values_is_a_tuple() -> None:
    assert parse_literal(" 1, 'b' ") == (1, "b")


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(LiteralError):
        parse_literal(" ")


@pytest.mark.parametrize(
    "text",
    [
        "1 ",
        "[1,2]",
        '"a"',
        "1.50",
        "1e3",
        "{2, 1}",
        "dict(a=1)",
        "0x10",
        "+1",
        "1j",
        "{1: 2, True: 3}",
    ],
)
def test_only_the_canonical_spelling_is_a_gold_output(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_canonical(text)


@pytest.mark.parametrize(
    ("gold", "answer", "plain", "typed"),
    [
        pytest.param("5.0", "5", True, False, id="int for float"),
        pytest.param("1", "True", True, False, id="bool for int"),
        pytest.param("{1, 2}", "{2, 1}", True, True, id="order of a set"),
        pytest.param("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", True, True, id="order of a dict"),
        pytest.param("[1, 2]", "(1, 2)", False, False, id="tuple for list"),
        pytest.param("nan", "nan", False, True, id="nan"),
        pytest.param("[nan]", "[nan]", False, True, id="nan inside a list"),
        pytest.param("0.0", "-0.0", True, False, id="negative zero"),
        pytest.param("'1'", "1", False, False, id="text for int"),
        pytest.param("[1, [2.0]]", "[1, [2]]", True, False, id="int for float inside"),
    ],
)
def test_equality(gold: str, answer: str, *, plain: bool, typed: bool) -> None:
    left, right = parse_canonical(gold), parse_literal(answer)
    assert equal(left, right) is plain
    assert equal(left, right, typed=True) is typed


def test_equal_inputs_have_one_spelling() -> None:
    assert canonical_arguments("[1,2], x=3") == canonical_arguments("[1, 2],\n x = 3")
    assert canonical_arguments("1") != canonical_arguments("1.0")
    assert canonical_arguments("a=1, b=2") == canonical_arguments("b=2, a=1")
