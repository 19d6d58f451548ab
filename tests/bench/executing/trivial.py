"""The program that throughput is measured with: the first of seven sorted integers."""

import itertools
import random
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


_seeds = itertools.count()


def inputs(count: int) -> list[Input]:
    """Return inputs that were not there before, so that a swapped result is a wrong one."""
    dice = random.Random(next(_seeds))
    return [
        Input([dice.randrange(-1_000_000, 1_000_000) for _ in range(7)], dice.randrange(2, 8))
        for _ in range(count)
    ]
