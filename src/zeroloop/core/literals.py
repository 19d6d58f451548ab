"""The two literal grammars: text to value, without ever evaluating anything.

*Outputs* are canonical texts alone (`parse_canonical`). *Inputs and answers* are Python
literals plus calls of a closed list of built-in constructors on literals (`parse_arguments`,
`parse_literal`); every canonical text is readable there too. Both are bounded in length,
depth, digits and in the number of elements that a constructor may unfold.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zeroloop.core.canonical import (
    DEPTH_MAX,
    INT_DIGITS_MAX,
    INT_END,
    TEXT_BYTES_MAX,
    CanonicalError,
    OpaqueValueError,
    ValueTooLargeError,
    canonical_text,
)

__all__ = [
    "Arguments",
    "CanonicalError",
    "LiteralError",
    "OpaqueValueError",
    "ValueTooLargeError",
    "canonical_arguments",
    "canonical_text",
    "equal",
    "parse_arguments",
    "parse_canonical",
    "parse_literal",
]

T = TypeVar("T")

ELEMENTS_MAX = 65_536
"""Elements that the constructors of one text may unfold, as `list(range(1000))` does."""

_NUMBERS = re.compile(r"[-0-9., \[\]]+")

SAME_HASH_MAX = 64
"""Different elements or keys of one hash: each of them is compared with all before it."""


class LiteralError(ValueError):
    """A text is outside the grammar or its bounds."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The values between the parentheses of a call, fresh on each parse."""

    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict[str, object])


def parse_arguments(text: str, *, bytes_max: int = TEXT_BYTES_MAX) -> Arguments:
    """Read an argument list, such as `1, [2, 3], key='x'`. Empty text means no argument.

    Raises:
        LiteralError: Not an argument list of literals, or out of bounds.
    """
    if (numbers := _numbers(text, bytes_max)) is not None:
        return Arguments(tuple(numbers))
    call = _parse(f"f(\n{text}\n)", bytes_max + 5)
    # A text that closes our parenthesis itself, `1) or (2`, makes something other than one
    # call of the bare name `f`.
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise LiteralError("not an argument list")
    return _read(lambda: Arguments(*_Reader(_ANSWER_CALLS).arguments(call, 0)))


def parse_literal(text: str, *, bytes_max: int = TEXT_BYTES_MAX) -> object:
    """Read one value of the grammar of answers. `1, 2` is a tuple.

    Raises:
        LiteralError: Not a literal, or out of bounds.
    """
    node = _parse(text.strip(), bytes_max)
    return _read(lambda: _Reader(_ANSWER_CALLS).value(node, 0))


def parse_canonical(text: str, *, bytes_max: int = TEXT_BYTES_MAX) -> object:
    """Read one canonical text. Text to value to text is the identity.

    Raises:
        LiteralError: Not the canonical text of any value, or out of bounds.
    """
    node = _parse(text, bytes_max)
    value = _read(lambda: _Reader(_CANONICAL_CALLS).value(node, 0))
    try:
        written = canonical_text(value, bytes_max=bytes_max)
    except CanonicalError as error:
        raise LiteralError(str(error)) from error
    if written != text:
        raise LiteralError("not in canonical form")
    return value


def canonical_arguments(text: str, *, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """One spelling for each argument list: tells whether two inputs are the same.

    Raises:
        LiteralError: Not an argument list of literals, or out of bounds.
    """
    arguments = parse_arguments(text, bytes_max=bytes_max)
    try:
        return canonical_text((arguments.args, arguments.kwargs), dicts_sorted=True)
    except CanonicalError as error:
        raise LiteralError(str(error)) from error


def equal(left: object, right: object, *, typed: bool = False) -> bool:
    """Whether two plain values are the same answer.

    Plain: Python `==`, so `1`, `1.0` and `True` are equal, the order of sets and dicts is
    ignored and `nan` equals nothing (unless it is the same object inside one container; values
    parsed from two texts share none). Typed: those three differ, `nan` equals itself, `0.0`
    and `-0.0` differ, as their canonical texts do; the order of dict entries is still ignored.
    """
    if not typed:
        return left == right
    bytes_max = 1 << 62
    return canonical_text(left, bytes_max=bytes_max, dicts_sorted=True) == canonical_text(
        right, bytes_max=bytes_max, dicts_sorted=True
    )


def _numbers(text: str, bytes_max: int) -> list[object] | None:
    """Numbers and lists of them, which most arguments are and which JSON reads ten times as fast.

    None for all that is to be read, or refused, as Python: of these characters nothing is JSON
    that is not the same value in Python.
    """
    if len(text) > bytes_max or text.count("[") > DEPTH_MAX or not _NUMBERS.fullmatch(text):
        return None
    try:
        return json.loads(f"[{text}]")
    except ValueError:
        return None


def _parse(source: str, bytes_max: int) -> ast.expr:
    if len(source.encode(errors="replace")) > bytes_max:
        raise LiteralError(f"text exceeds {bytes_max} bytes")
    try:
        with warnings.catch_warnings():  # an escape such as "\d" is no business of ours
            warnings.simplefilter("ignore")
            return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        # ValueError: a NUL character or a lone surrogate.
        raise LiteralError(f"not a literal: {type(error).__name__}") from error


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except RecursionError as error:
        raise LiteralError("nested too deeply") from error


class _Reader:
    """Turns an expression tree into a value; everything it does not know is refused."""

    def __init__(self, calls: dict[str, Callable[..., object]]) -> None:
        self._calls = calls
        self._elements_left = ELEMENTS_MAX

    def value(self, node: ast.expr, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise LiteralError(f"nested more than {DEPTH_MAX} deep")
        match node:
            case ast.Constant(value=value):
                return _bounded(value)
            case ast.Name(id="nan" | "inf" as name):
                return float(name)
            case ast.List(elts=nodes):
                return self._values(nodes, depth)
            case ast.Tuple(elts=nodes):
                return tuple(self._values(nodes, depth))
            case ast.Set(elts=nodes):
                return _built(set, self._values(nodes, depth))
            case ast.Dict(keys=keys, values=nodes):
                return self._dict(keys, nodes, depth)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return self._signed(sign, operand, depth)
            case ast.BinOp(op=ast.Add() | ast.Sub() as sign, left=left, right=right):
                return self._complex(sign, left, right, depth)
            case ast.Call(func=ast.Name(id=name)) if name in self._calls:
                return self._call(name, node, depth)
            case _:
                raise LiteralError(f"{type(node).__name__} is not a literal")

    def arguments(self, call: ast.Call, depth: int) -> tuple[tuple[object, ...], dict[str, object]]:
        kwargs: dict[str, object] = {}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in kwargs:
                raise LiteralError("a keyword needs one value and one name")
            kwargs[keyword.arg] = self.value(keyword.value, depth)
        return tuple(self.value(node, depth) for node in call.args), kwargs

    def _values(self, nodes: Sequence[ast.expr], depth: int) -> list[object]:
        return [self.value(node, depth + 1) for node in nodes]

    def _dict(
        self, keys: Sequence[ast.expr | None], nodes: Sequence[ast.expr], depth: int
    ) -> object:
        names: list[object] = []
        for key in keys:
            if key is None:
                raise LiteralError("** is not a literal")
            names.append(self.value(key, depth + 1))
        return _built(dict, list(zip(names, self._values(nodes, depth), strict=True)))

    def _signed(self, sign: ast.unaryop, operand: ast.expr, depth: int) -> object:
        number: Any = self.value(operand, depth + 1)
        if type(number) not in (int, float, complex):
            raise LiteralError("a sign needs a number")
        return -number if isinstance(sign, ast.USub) else number

    def _complex(self, sign: ast.operator, left: ast.expr, right: ast.expr, depth: int) -> object:
        real: Any = self.value(left, depth + 1)
        imaginary: Any = self.value(right, depth + 1)
        if type(real) not in (int, float) or type(imaginary) is not complex:
            raise LiteralError("arithmetic is not a literal")
        try:
            return real + imaginary if isinstance(sign, ast.Add) else real - imaginary
        except OverflowError as error:
            raise LiteralError("int too large for a complex number") from error

    def _call(self, name: str, call: ast.Call, depth: int) -> object:
        # The set inside `frozenset({...})` is part of its spelling and no level of its own.
        args, kwargs = self.arguments(call, depth + (name != "frozenset"))
        for arg in args:
            self._elements_left -= _unfolded(name, arg)
            if self._elements_left < 0:
                raise LiteralError(f"constructors unfold more than {ELEMENTS_MAX} elements")
        return _bounded(_built(self._calls[name], *args, **kwargs))


def _built(constructor: Callable[..., object], *args: object, **kwargs: object) -> object:
    try:
        if args and constructor in (set, frozenset, dict, _dict):
            _require_different_hashes(args[0], keyed=constructor in (dict, _dict))
        return constructor(*args, **kwargs)
    except (TypeError, ValueError, OverflowError) as error:
        name = getattr(constructor, "__name__", "constructor").lstrip("_")
        raise LiteralError(f"{name}: {error}") from error


def _require_different_hashes(elements: Any, *, keyed: bool) -> None:
    """Refuse what would take quadratic time: 2**61 - 1 and its multiples all hash to 0."""
    if isinstance(elements, set | frozenset | dict | str | bytes):
        return  # built already, or harmless
    keys = [pair[0] for pair in elements] if keyed else list(elements)
    if len(keys) <= SAME_HASH_MAX:
        return
    alike: dict[int, list[object]] = {}
    for key in keys:
        alike.setdefault(hash(key), []).append(key)
    for group in alike.values():
        if len(group) > SAME_HASH_MAX and len(set(map(repr, group))) > SAME_HASH_MAX:
            raise ValueError(f"more than {SAME_HASH_MAX} different elements have one hash")


def _bounded(value: object) -> object:
    if type(value) is int and not -INT_END < value < INT_END:
        raise LiteralError(f"int has more than {INT_DIGITS_MAX} digits")
    return value


def _unfolded(name: str, arg: Any) -> int:
    """How many elements constructor `name` would make from `arg`."""
    if name == "range":
        return 0
    if isinstance(arg, int):
        return max(arg, 0) if name == "bytes" else 0
    try:
        return len(arg)
    except TypeError:
        return 0
    except OverflowError:
        return ELEMENTS_MAX + 1


def _ordered(arg: Any) -> Any:
    """Refuse what has no order of its own: a set of texts would differ per hash seed."""
    if isinstance(arg, set | frozenset):
        raise TypeError("a set has no order")
    return arg


def _list(arg: Any = (), /) -> object:
    return list(_ordered(arg))


def _tuple(arg: Any = (), /) -> object:
    return tuple(_ordered(arg))


def _dict(arg: Any = (), /, **kwargs: object) -> object:
    return dict(_ordered(arg), **kwargs)


def _str(arg: object = "", /) -> object:
    """Scalars only: the text of a set differs per hash seed."""
    if not isinstance(arg, str | int | float | complex | None):
        raise TypeError("argument must be a scalar")
    return str(arg)


def _bytes(arg: Any = b"", /, encoding: str | None = None) -> object:
    if encoding not in (None, "utf-8", "utf8", "ascii", "latin-1"):
        raise ValueError(f"encoding {encoding!r} is not supported")
    return bytes(_ordered(arg)) if encoding is None else bytes(arg, encoding)


_CANONICAL_CALLS: dict[str, Callable[..., object]] = {
    "set": set,
    "frozenset": frozenset,
    "range": range,
    "complex": complex,
}

_ANSWER_CALLS: dict[str, Callable[..., object]] = _CANONICAL_CALLS | {
    "dict": _dict,
    "list": _list,
    "tuple": _tuple,
    "float": float,
    "int": int,
    "bool": bool,
    "str": _str,
    "bytes": _bytes,
}
