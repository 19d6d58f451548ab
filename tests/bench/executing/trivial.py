"""The program that throughput is measured with: the first of seven sorted integers."""

import itertools
from dataclasses import dataclass

SOURCE = "def f(a, k):\n    return sorted(a)[:k]\n"
BATCH = 64
"""Programs in a message, the most that the service takes."""


class WrongResultError(Exception):
    """A way gave another result than the program has: its figures are worth nothing."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input, and what must come back."""

    numbers: list[int]
    count: int

    @property
    def text(self) -> str:
        """The argument list as it is written in a call."""
        return f"{self.numbers}, {self.count}"

    @property
    def expected(self) -> str:
        """What `repr` makes of the value."""
        return repr(sorted(self.numbers)[: self.count])

    def check(self, value: str) -> None:
        """Refuse another value.

        Raises:
            WrongResultError: It is another.
        """
        if value != self.expected:
            raise WrongResultError(f"f({self.text}) gave {value!r} and not {self.expected}")


_FACTORS = (7919, 15485863, 32452843, 49979687, 67867967, 86028121, 104395301)
_MODULUS = 2_000_003
_serials = itertools.count(1)


def inputs(count: int) -> list[Input]:
    """Return inputs that were not there before, so that a swapped result is a wrong one.

    Cheap, because the ways that are measured pay for it.
    """
    return [_input(serial) for serial in itertools.islice(_serials, count)]


def _input(serial: int) -> Input:
    numbers = [serial * factor % _MODULUS - _MODULUS // 2 for factor in _FACTORS]
    return Input(numbers, 2 + serial % 6)
