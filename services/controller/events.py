"""What happens in a run, handed to whoever watches and kept for whoever comes later."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from zeroloop.core.runs import EventType, WatchUpdate

PENDING_MAX = 256
"""Updates that wait for a slow watcher; the oldest progress is dropped first."""


@dataclass
class _Watcher:
    pending: deque[WatchUpdate] = field(default_factory=deque[WatchUpdate])
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False


class Broadcast:
    """Hands every update to every watcher, at each watcher's own pace and in bounded memory."""

    def __init__(self) -> None:
        self._watchers: list[_Watcher] = []

    def publish(self, update: WatchUpdate) -> None:
        """Hand an update to all watchers; never waits."""
        for watcher in self._watchers:
            if len(watcher.pending) >= PENDING_MAX:
                _drop_one(watcher.pending)
            watcher.pending.append(update)
            watcher.wake.set()

    def close(self) -> None:
        """End every watch after its pending updates."""
        for watcher in self._watchers:
            watcher.closed = True
            watcher.wake.set()

    @contextmanager
    def watch(self) -> Generator[AsyncIterator[WatchUpdate]]:
        """Updates from now on. Nothing is missed between entering and the first of them."""
        watcher = _Watcher()
        self._watchers.append(watcher)
        try:
            yield _updates(watcher)
        finally:
            self._watchers.remove(watcher)


async def _updates(watcher: _Watcher) -> AsyncIterator[WatchUpdate]:
    while True:
        while watcher.pending:
            yield watcher.pending.popleft()
        if watcher.closed:
            return
        watcher.wake.clear()
        await watcher.wake.wait()


def _drop_one(pending: deque[WatchUpdate]) -> None:
    is_progress: Callable[[WatchUpdate], bool] = lambda u: (  # noqa: E731
        u.event is not None and u.event.type is EventType.PROGRESS and u.run is None
    )
    index = next((i for i, update in enumerate(pending) if is_progress(update)), 0)
    del pending[index]
