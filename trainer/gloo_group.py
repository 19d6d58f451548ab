"""Several ranks that talk over gloo."""

from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


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
