"""What is ready together comes together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from services.execution.handfuls import in_handfuls


async def numbers(count: int, *, pause_after: int = -1) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        if number == pause_after:
            await asyncio.sleep(0.01)


async def test_nothing_is_lost_and_the_order_stays() -> None:
    lists = [handful async for handful in in_handfuls(numbers(100), 7)]

    assert [number for handful in lists for number in handful] == list(range(100))
    assert max(map(len, lists)) <= 7
    assert len(lists) < 100


async def test_nobody_waits_for_what_is_not_ready() -> None:
    lists = [handful async for handful in in_handfuls(numbers(5, pause_after=2), 64)]

    assert [number for handful in lists for number in handful] == list(range(5))
    assert lists[0][-1] <= 2


async def test_of_nothing_there_is_none() -> None:
    assert [handful async for handful in in_handfuls(numbers(0), 4)] == []


async def test_what_was_ready_before_an_error_comes_before_it() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise ValueError("then this")

    handfuls = in_handfuls(failing(), 4)

    assert await anext(handfuls) == [1]
    with pytest.raises(ValueError, match="then this"):
        await anext(handfuls)


async def test_little_is_taken_ahead_of_a_slow_reader() -> None:
    taken: list[int] = []

    async def watched() -> AsyncIterator[int]:
        async for number in numbers(1000):
            taken.append(number)
            yield number

    async with aclosing(in_handfuls(watched(), 4)) as handfuls:
        await anext(handfuls)
        await asyncio.sleep(0.01)

    assert len(taken) <= 10


async def test_who_leaves_early_ends_the_source() -> None:
    ended = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            ended.set()

    items = source()
    async with aclosing(items), aclosing(in_handfuls(items, 4)) as handfuls:
        await anext(handfuls)

    assert ended.is_set()
