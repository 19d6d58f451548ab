"""Waiting for changes, and receiving streams."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.buffer.changes import Changes
from services.buffer.spool import MEMORY_BYTES_MAX, spooled
from zeroloop.errors import InvalidRequestError, UnavailableError


async def test_nothing_that_happens_after_the_mark_is_missed() -> None:
    changes = Changes(recheck_s=60)
    mark = changes.mark()
    changes.announce()

    async with asyncio.timeout(1):
        await changes.wait(mark, 60)


async def test_a_wait_ends_to_look_again() -> None:
    changes = Changes(recheck_s=0.01)

    async with asyncio.timeout(1):
        await changes.wait(changes.mark(), 60)


async def test_closing_wakes_everyone_and_nobody_waits_again() -> None:
    changes = Changes(recheck_s=60)
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(changes.wait(changes.mark(), 60))
        await asyncio.sleep(0)
        changes.close()

    async with asyncio.timeout(1):
        await changes.wait(changes.mark(), 60)
    assert changes.closed


async def messages(count: int, size_bytes: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * size_bytes


@pytest.mark.parametrize(
    ("count", "size_bytes"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(3, 0, id="empty messages"),
        pytest.param(5, 100, id="in memory"),
        pytest.param(20, MEMORY_BYTES_MAX // 10, id="in a file"),
    ],
)
async def test_a_spool_gives_back_what_it_took(tmp_path: Path, count: int, size_bytes: int) -> None:
    async with spooled(messages(count, size_bytes), tmp_path) as spool:
        for _ in range(2):
            got = [message async for message in spool.messages()]
            assert got == [message async for message in messages(count, size_bytes)]
    assert list(tmp_path.iterdir()) == []


async def test_a_spool_without_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="choose another folder with --spool-dir"):
        async with spooled(messages(20, MEMORY_BYTES_MAX // 10), tmp_path / "missing"):
            pass


async def test_a_spool_has_an_end() -> None:
    with pytest.raises(InvalidRequestError, match="all must be at most 250 bytes"):
        async with spooled(messages(3, 100), None, bytes_max=250):
            pass
