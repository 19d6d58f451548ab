"""Waiting for a change of the stored state without asking all the time."""

import asyncio


class Changes:
    """Wakes whoever waits in this process when something was committed.

    Other processes on the same database are not heard; so each wait also ends after
    `recheck_s`, and the waiter looks again.
    """

    def __init__(self, recheck_s: float) -> None:
        self._recheck_s = recheck_s
        self._next = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the service drains, so that waiting makes no sense."""
        return self._closed

    def announce(self) -> None:
        """Say that something was committed."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Wake everyone for the last time."""
        self._closed = True
        self.announce()

    def mark(self) -> asyncio.Event:
        """Take this before looking; then `wait` misses nothing that is committed after it."""
        return self._next

    async def wait(self, mark: asyncio.Event, timeout_s: float) -> None:
        """Return after the next change since `mark`, `timeout_s` or the re-check time."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(min(timeout_s, self._recheck_s)):
                await mark.wait()
        except TimeoutError:
            pass
