"""Items handed on between stages: to every reader, in bounded memory, errors at once."""

import asyncio
from collections.abc import Sequence

import pytest

from services.controller.rounds.streams import Listed, Pipe, Relay, each, together, work_through


async def test_every_reader_of_a_relay_sees_every_item() -> None:
    relay: Relay[int] = Relay()
    relay.put(1)
    early = relay.reader()

    async def read(reader: object) -> list[int]:
        return [item async for item in each(reader)]  # type: ignore[arg-type]

    reading = asyncio.create_task(read(early))
    await asyncio.sleep(0)
    relay.put(2)
    relay.close()

    assert await reading == [1, 2]
    assert await read(relay.reader()) == [1, 2]


async def test_a_full_pipe_makes_the_writer_wait() -> None:
    pipe: Pipe[int] = Pipe(2)
    written: list[int] = []

    async def write() -> None:
        for item in range(5):
            await pipe.put(item)
            written.append(item)
        await pipe.close()

    writing = asyncio.create_task(write())
    for _ in range(10):
        await asyncio.sleep(0)
    assert written == [0, 1]

    assert [item async for item in each(pipe)] == [0, 1, 2, 3, 4]
    await writing


async def test_work_is_bounded_and_batches_grow_while_all_places_are_busy() -> None:
    running, most = 0, 0
    sizes: list[int] = []

    async def work(batch: Sequence[int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        sizes.append(len(batch))
        await asyncio.sleep(0.01)
        running -= 1

    await work_through(Listed(list(range(20))), work, batch_max=6, batches_max=2)

    assert most == 2
    assert sum(sizes) == 20
    assert max(sizes) == 6


async def test_the_first_error_ends_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("forever")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):  # noqa: PT012
        async with together() as group:
            group.create_task(forever())
            group.create_task(fail())

    assert ended == ["forever"]


async def test_a_batch_that_is_not_full_waits_for_more() -> None:
    relay: Relay[int] = Relay()
    batches: list[list[int]] = []

    async def work(batch: Sequence[int]) -> None:
        batches.append(list(batch))

    async def write() -> None:
        for item in range(4):
            relay.put(item)
            await asyncio.sleep(0)
        relay.close()

    async with together() as group:
        group.create_task(write())
        await work_through(relay.reader(), work, batch_max=3, batches_max=1, gather_s=0.01)

    assert batches == [[0, 1, 2], [3]]
