"""Receive a whole stream before anything is written to the database.

A client that stalls in the middle would otherwise hold the write lock of everybody.
"""

import asyncio
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from zeroloop.errors import UnavailableError, invalid

MEMORY_BYTES_MAX = 8 * 1024 * 1024
"""What a stream may hold in memory; the rest goes to a temporary file."""

STAGE_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""Largest stage; the paper's largest is some 200 MB."""

_CHUNK_BYTES = 1024 * 1024
_LENGTH = struct.Struct("<I")


class Spool:
    """Messages in their order, readable any number of times."""

    def __init__(self, file: IO[bytes], bytes_max: int) -> None:
        self._file = file
        self._bytes_max = bytes_max

    async def fill(self, messages: AsyncIterable[bytes]) -> None:
        """Take all messages.

        Raises:
            InvalidRequestError: They are larger than allowed together.
        """
        pending = bytearray()
        total_bytes = 0
        async for message in messages:
            total_bytes += len(message)
            if total_bytes > self._bytes_max:
                raise invalid("record", f"all must be at most {self._bytes_max} bytes, got more")
            pending += _LENGTH.pack(len(message)) + message
            if len(pending) >= _CHUNK_BYTES:
                await asyncio.to_thread(self._file.write, pending)
                pending = bytearray()
        await asyncio.to_thread(self._file.write, pending)

    async def messages(self) -> AsyncGenerator[bytes]:
        """Yield the messages that it took."""
        self._file.seek(0)
        while header := self._file.read(_LENGTH.size):
            yield self._file.read(_LENGTH.unpack(header)[0])


@asynccontextmanager
async def spooled(
    messages: AsyncIterable[bytes], folder: Path | None, *, bytes_max: int = STAGE_BYTES_MAX
) -> AsyncGenerator[Spool]:
    """Receive `messages` whole; the temporary file ends with the block.

    Args:
        messages: To receive.
        folder: For the temporary file; None: the system's.
        bytes_max: Of all messages together.

    Raises:
        InvalidRequestError: The messages are larger than that.
        UnavailableError: The folder has no space left.
    """
    with tempfile.SpooledTemporaryFile(
        max_size=MEMORY_BYTES_MAX, dir=str(folder) if folder else None
    ) as file:
        spool = Spool(file, bytes_max)
        try:
            await spool.fill(messages)
        except OSError as error:
            place = folder or tempfile.gettempdir()
            raise UnavailableError(
                f"cannot receive the stage into {place}: {error.strerror}; nothing was written. "
                "Remedy: free space there, or choose another folder with --spool-dir"
            ) from error
        yield spool
