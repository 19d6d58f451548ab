"""Many pieces of work at once, handed out as they finish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

A = TypeVar("A")
T = TypeVar("T")

SLICE = 64
"""Pieces begun before others get their turn, so that a large request blocks nobody."""


async def as_finished(
    work: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
) -> AsyncGenerator[T]:
    """Start `work` on every item and yield each result as it is known, in any order.

    The first error ends it. Leaving the loop cancels what still runs.
    """
    finished: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()
    tasks: set[asyncio.Task[T]] = set()

    async def start_all() -> None:
        for index, item in enumerate(items):
            task = asyncio.get_running_loop().create_task(work(item))
            tasks.add(task)
            task.add_done_callback(finished.put_nowait)
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    starter = asyncio.get_running_loop().create_task(start_all())
    try:
        for _ in items:
            task = await finished.get()
            tasks.discard(task)
            yield task.result()
    finally:
        starter.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(starter, *tasks, return_exceptions=True)
