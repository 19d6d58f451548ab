"""The ranks of the trainer and what they tell each other outside the optimiser step."""

from typing import Protocol, TypeVar

T = TypeVar("T")


class Group(Protocol):
    """The processes that train together. Every method but `rank` and `ranks` is collective."""

    rank: int
    ranks: int

    def broadcast(self, value: T | None) -> T:
        """Return what rank 0 gave; the others wait for it without using the processor."""
        ...

    def gather(self, value: T) -> list[T]:
        """Return what every rank gave, in their order."""
        ...

    def barrier(self) -> None:
        """Wait until every rank is here."""
        ...


class SoloGroup:
    """One process."""

    rank = 0
    ranks = 1

    def broadcast(self, value: T | None) -> T:
        assert value is not None
        return value

    def gather(self, value: T) -> list[T]:
        return [value]

    def barrier(self) -> None:
        pass
