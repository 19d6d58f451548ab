"""Takes what is ready together."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def in_handfuls(items: AsyncIterator[T], items_max: int) -> AsyncGenerator[list[T]]:
    """Yield the items in lists: each as long as what was ready when somebody asked.

    At most `items_max` are taken ahead. What `items` raises is raised after all items before it.
    """
    ready: asyncio.Queue[T | None] = asyncio.Queue(items_max)

    async def take() -> None:
        try:
            async for item in items:
                await ready.put(item)
        finally:
            await ready.put(None)

    taking = asyncio.create_task(take())
    try:
        while (item := await ready.get()) is not None:
            handful = [item]
            while not ready.empty() and len(handful) < items_max:
                if (item := ready.get_nowait()) is None:
                    break
                handful.append(item)
            yield handful
            if item is None:
                break
        await taking
    finally:
        taking.cancel()
        while not ready.empty():  # so that it can say that it ends
            ready.get_nowait()
        await asyncio.gather(taking, return_exceptions=True)
