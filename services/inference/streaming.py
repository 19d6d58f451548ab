"""Bounded concurrency whose results come as they finish."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def as_they_finish(
    jobs: Iterable[Callable[[], Coroutine[Any, Any, T]]], *, concurrent_max: int
) -> AsyncGenerator[T]:
    """Run `jobs`, yield each result when it is there; the first failure ends the rest.

    At most `concurrent_max` jobs are started and not yet yielded, so a slow reader slows
    the work instead of filling the memory. `jobs` is consumed lazily. Closing the
    generator cancels what runs.
    """
    finished: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()
    waiting = iter(jobs)
    running: set[asyncio.Task[T]] = set()

    def start() -> None:
        job = next(waiting, None)
        if job is not None:
            task = asyncio.create_task(job())
            running.add(task)
            task.add_done_callback(finished.put_nowait)

    try:
        for _ in range(concurrent_max):
            start()
        while running:
            task = await finished.get()
            running.discard(task)
            yield task.result()
            start()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
