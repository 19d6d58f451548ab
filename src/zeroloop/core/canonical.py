"""Canonical text of plain values: one spelling for each value, whatever made it.

This module imports nothing but `typing`, so that a sandbox can carry it as a single file. It
calls no method of a value that is not plain, nor of its type.

Plain values are of *exact* type, no subclass: None, bool, int, float, complex, str, bytes,
Ellipsis, range, and list, tuple, set, frozenset, dict of plain values. Canonical texts keep
`1`, `1.0` and `True` apart.
"""

from typing import Any

DEPTH_MAX = 100
"""Containers inside containers. A scalar has depth 0, `[]` depth 1."""

INT_DIGITS_MAX = 4300
"""CPython's own limit for converting between int and text in quadratic time."""

TEXT_BYTES_MAX = 65_536
"""UTF-8 bytes of one canonical text."""

INT_END = 10**INT_DIGITS_MAX
"""The smallest positive int that is too large."""

SHORT_INT_END = 10**18
"""Below it, text of an int and what separates it from the next have at most `SHORT_INT_CHARS`."""

SHORT_INT_CHARS = 22

_TYPE_NAME: Any = type.__dict__["__name__"]
"""Reads a type's name as C does; `kind.__name__` could be code of the type's metaclass."""


class CanonicalError(ValueError):
    """A value has no canonical text."""


class OpaqueValueError(CanonicalError):
    """The value is not plain data, contains itself, or is nested too deeply."""


class ValueTooLargeError(CanonicalError):
    """The text would exceed its limit; it is never cut."""


def canonical_text(
    value: object, *, bytes_max: int = TEXT_BYTES_MAX, dicts_sorted: bool = False
) -> str:
    """Write `value` in its canonical text.

    Args:
        value: Any object; only plain values have a text.
        bytes_max: Limit of the text in UTF-8 bytes. Work stops soon after it is exceeded.
        dicts_sorted: Order dict entries by the text of their keys, not by insertion. Two texts
            written so are equal exactly if the values are equal up to the order of entries.

    Raises:
        OpaqueValueError: Something in `value` is not plain data.
        ValueTooLargeError: The text exceeds `bytes_max`, or an int has too many digits.
    """
    text = _Writer(bytes_max, dicts_sorted=dicts_sorted).write(value, 0)
    if len(text.encode()) > bytes_max:
        raise ValueTooLargeError(f"text of the value exceeds {bytes_max} bytes")
    return text


class _Writer:
    """Writes one value. Spends a budget of characters, so shared parts cannot explode.

    The budget only stops runaway work: it counts two characters for each pair of brackets and
    for each separator, so at most twice what is written.
    """

    def __init__(self, bytes_max: int, *, dicts_sorted: bool) -> None:
        self._bytes_max = bytes_max
        self._chars_left = 2 * bytes_max
        self._dicts_sorted = dicts_sorted
        self._path: set[int] = set()

    def write(self, value: Any, depth: int) -> str:
        kind = _kind(value)
        if kind is int:  # first, because most values are
            text = _int_text(value)
            self._spend(len(text))
            return text
        if (kind is list or kind is tuple) and self._is_row_of_ints(value, depth):
            text = repr(value)  # the same, in a third of the time
            self._spend(len(text) + 2)
            return text
        brackets = _brackets(kind)
        if brackets is not None:
            return self._container(value, depth + 1, brackets)
        if (kind is str or kind is bytes) and len(value) > self._chars_left:
            self._spend(len(value))  # before a huge text is copied
        text = scalar_text(value)
        self._spend(len(text))
        return text

    def _is_row_of_ints(self, value: "list[object] | tuple[object, ...]", depth: int) -> bool:
        """Whether these are ints alone, whose text is neither too long nor nested too deeply."""
        if depth >= DEPTH_MAX or SHORT_INT_CHARS * len(value) > self._chars_left:
            return False
        for item in value:
            if type(item) is not int or not -SHORT_INT_END < item < SHORT_INT_END:
                return False
        return True

    def _container(self, value: Any, depth: int, brackets: tuple[str, str, str]) -> str:
        if depth > DEPTH_MAX:
            raise OpaqueValueError(f"value is nested more than {DEPTH_MAX} deep")
        if id(value) in self._path:
            raise OpaqueValueError("value contains itself")
        opening, closing, empty = brackets
        self._path.add(id(value))
        texts = self._items(value, depth)
        self._path.discard(id(value))
        if not texts:
            return empty
        comma = "," if opening == "(" and len(texts) == 1 else ""
        return f"{opening}{', '.join(texts)}{comma}{closing}"

    def _items(self, value: Any, depth: int) -> list[str]:
        self._spend(2)
        texts: list[str] = []
        kind = _kind(value)
        if kind is dict:
            entries: dict[Any, Any] = value
            for key, item in entries.items():
                self._spend(2)
                texts.append(f"{self.write(key, depth)}: {self.write(item, depth)}")
            return sorted(texts) if self._dicts_sorted else texts
        for item in value:
            self._spend(2)
            texts.append(self.write(item, depth))
        return sorted(texts) if kind is set or kind is frozenset else texts

    def _spend(self, chars: int) -> None:
        self._chars_left -= chars
        if self._chars_left < 0:
            raise ValueTooLargeError(f"text of the value exceeds {self._bytes_max} bytes")


def _brackets(kind: type) -> tuple[str, str, str] | None:
    """Opening, closing and empty text of a container type, else None.

    By identity alone: a look-up would run the hash of a metaclass.
    """
    if kind is list:
        return "[", "]", "[]"
    if kind is tuple:
        return "(", ")", "()"
    if kind is dict:
        return "{", "}", "{}"
    if kind is set:
        return "{", "}", "set()"
    if kind is frozenset:
        return "frozenset({", "})", "frozenset()"
    return None


def scalar_text(value: Any) -> str:
    """Write a plain value that is no container.

    Raises:
        OpaqueValueError: `value` is a container, or not plain.
        ValueTooLargeError: An int has more than `INT_DIGITS_MAX` digits.
    """
    kind = _kind(value)
    if value is None or kind is bool or kind is str or kind is bytes:
        return repr(value)
    if value is ...:
        return "..."
    if kind is int:
        return _int_text(value)
    if kind is float:
        return repr(value)
    if kind is complex:
        return f"complex({value.real!r}, {value.imag!r})"
    if kind is range:
        return _range_text(value)
    raise OpaqueValueError(f"value of type {_TYPE_NAME.__get__(kind)} is not plain data")


def _kind(value: object) -> type:
    return type(value)


def _int_text(value: int) -> str:
    if not -INT_END < value < INT_END:
        raise ValueTooLargeError(f"int has more than {INT_DIGITS_MAX} digits")
    return repr(value)


def _range_text(value: range) -> str:
    parts = [value.start, value.stop] if value.step == 1 else [value.start, value.stop, value.step]
    return f"range({', '.join(_int_text(part) for part in parts)})"
