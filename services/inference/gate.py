"""The gate: calls pass side by side, a change of weights passes alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from zeroloop.errors import OverloadedError


class Gate:
    """Admits calls up to a limit; closed, it lets running calls end and others wait."""

    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._calls = 0
        self._running = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def passing(self) -> AsyncGenerator[None]:
        """Wait until the gate is open, then keep it from closing for the block.

        Raises:
            OverloadedError: Too many calls run or wait already.
        """
        if self._calls >= self._calls_max:
            raise OverloadedError(
                f"{self._calls} calls are open, the limit is {self._calls_max} (setting "
                "calls_max); retry after a back-off, or put more prompts into one call"
            )
        self._calls += 1
        try:
            # Nothing may be awaited between the last look and the count.
            while not self._open.is_set():
                await self._open.wait()
            self._running += 1
            self._idle.clear()
            try:
                yield
            finally:
                self._running -= 1
                if self._running == 0:
                    self._idle.set()
        finally:
            self._calls -= 1

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None]:
        """Close the gate, wait until no call runs, and keep it so for the block.

        The caller makes sure that there is one at a time.
        """
        assert self._open.is_set(), "two changes of weights at once"
        self._open.clear()
        try:
            await self._idle.wait()
            yield
        finally:
            self._open.set()
