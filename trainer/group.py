"""The ranks of the trainer and what they tell each other outside the optimiser step."""

from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch.distributed as dist

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


class GlooGroup:
    """Several processes over gloo, also on GPUs: NCCL would spin while it waits."""

    def __init__(self, *, timeout_s: float) -> None:
        self.rank: int = dist.get_rank()
        self.ranks: int = dist.get_world_size()
        self._group: Any = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))

    def broadcast(self, value: T | None) -> T:
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value, group=self._group)
        return values

    def barrier(self) -> None:
        dist.barrier(group=self._group)
