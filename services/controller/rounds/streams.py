"""How the stages of a round hand items to each other while they are being made."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """Where items are taken from, as they become available."""

    async def take(self, count_max: int) -> Sequence[T_co]:
        """Wait for items and return up to `count_max` of them; none: there will be no more."""
        ...

    async def take_now(self, count_max: int) -> Sequence[T_co]:
        """Return up to `count_max` of the items that are there, without waiting for any."""
        ...


class Relay(Generic[T]):
    """Items that any number of readers see, each from the first one on. Keeps them all."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._closed = False
        self._more = asyncio.Event()

    def put(self, item: T) -> None:
        """Hand on an item."""
        self.items.append(item)
        self._wake()

    def close(self) -> None:
        """There will be no more items."""
        self._closed = True
        self._wake()

    def reader(self) -> Source[T]:
        """A reader that starts at the first item."""
        return _RelayReader(self)

    async def read(self, start: int, count_max: int) -> Sequence[T]:
        """Wait for items after the first `start`."""
        while start >= len(self.items) and not self._closed:
            await self._more.wait()
        return self.items[start : start + count_max]

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


class _RelayReader(Generic[T]):
    def __init__(self, relay: Relay[T]) -> None:
        self._relay = relay
        self._start = 0

    async def take(self, count_max: int) -> Sequence[T]:
        taken = await self._relay.read(self._start, count_max)
        self._start += len(taken)
        return taken

    async def take_now(self, count_max: int) -> Sequence[T]:
        taken = self._relay.items[self._start : self._start + count_max]
        self._start += len(taken)
        return taken


class Pipe(Generic[T]):
    """Items for one reader; whoever puts waits while `capacity` of them are not taken."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T) -> None:
        """Hand on an item."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._items) < self._capacity)
            self._items.append(item)
            self._changed.notify_all()

    async def close(self) -> None:
        """There will be no more items."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, count_max: int) -> Sequence[T]:
        """See `Source.take`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._items or self._closed)
        return await self.take_now(count_max)

    async def take_now(self, count_max: int) -> Sequence[T]:
        """See `Source.take_now`."""
        async with self._changed:
            taken = [self._items.popleft() for _ in range(min(count_max, len(self._items)))]
            self._changed.notify_all()
            return taken


class Listed(Generic[T]):
    """Items that are all there already."""

    def __init__(self, items: Sequence[T]) -> None:
        self._rest = deque(items)

    async def take(self, count_max: int) -> Sequence[T]:
        """See `Source.take`."""
        return await self.take_now(count_max)

    async def take_now(self, count_max: int) -> Sequence[T]:
        """See `Source.take_now`."""
        return [self._rest.popleft() for _ in range(min(count_max, len(self._rest)))]


async def each(source: Source[T]) -> AsyncIterator[T]:
    """Iterate over a source."""
    while taken := await source.take(1):
        yield taken[0]


async def work_through(
    source: Source[T],
    work: Callable[[Sequence[T]], Awaitable[None]],
    *,
    batch_max: int,
    batches_max: int,
    gather_s: float = 0.0,
) -> None:
    """Hand what is available to `work` in batches, a bounded number of them at once.

    A batch is taken only when there is a place for it, so that it grows while all places
    are busy. One that is not full waits `gather_s` for more. The first error ends the others
    and is raised as it is.
    """
    places = asyncio.Semaphore(batches_max)

    async def place(batch: Sequence[T]) -> None:
        try:
            await work(batch)
        finally:
            places.release()

    async def feed(group: asyncio.TaskGroup) -> None:
        while True:
            await places.acquire()
            batch = [*await source.take(batch_max)]
            if not batch:
                return
            if gather_s and len(batch) < batch_max:
                await asyncio.sleep(gather_s)
                batch += await source.take_now(batch_max - len(batch))
            group.create_task(place(batch))

    async with together() as group:
        await feed(group)


class together:  # noqa: N801  reads as a statement
    """A task group whose first error is raised as it is, not as a group."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> asyncio.TaskGroup:
        return await self._group.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self._group.__aexit__(*exception)  # pyright: ignore[reportArgumentType]
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
