"""Asynchronous methods for blocking callers, on an event loop in a thread of its own.

Nothing is written twice: a blocking method is the asynchronous one with its parameters and
documentation, waited for.
"""

import asyncio
import functools
import threading
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

ENDING_S = 5.0
"""How long what was interrupted may take to end."""


class EventLoop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="zeroloop-sdk", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Wait for `work`; an interrupt of the caller cancels it and lets it end."""
        ended = threading.Event()

        async def whole() -> R:
            try:
                return await work
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(whole(), self._loop)
        try:
            return future.result()
        except BaseException:
            # What is iterated over cannot be closed while it is still being cancelled.
            if future.cancel():
                ended.wait(ENDING_S)
            raise

    def iterate(self, items: AsyncGenerator[R]) -> Iterator[R]:
        """Yield from `items`, and close them when the caller stops."""
        try:
            while True:
                try:
                    yield self.run(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            if not self.closed:
                self.run(items.aclose())

    @property
    def closed(self) -> bool:
        """Whether the loop has ended."""
        return self._loop.is_closed()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(items: AsyncGenerator[R]) -> R:
    return await anext(items)


class Face(Protocol):
    """What owns blocking methods."""

    loop: EventLoop
    asynchronous: Any
    """The object whose methods are waited for."""


def _bound(method: Callable[Concatenate[Any, P], S], owner: Face) -> Callable[P, S]:
    """The method of the owner's asynchronous object, with its signature."""
    return cast("Callable[P, S]", types.MethodType(method, owner.asynchronous))


class blocking(Generic[P, R]):  # noqa: N801  (used like a decorator)
    """A method that waits for the asynchronous one."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, owner: Face, kind: type | None = None) -> Callable[P, R]:
        bound = _bound(self._method, owner)

        @functools.wraps(bound)
        def wait(*args: P.args, **kwargs: P.kwargs) -> R:
            return owner.loop.run(bound(*args, **kwargs))

        return wait


class wrapping(Generic[P, R, S]):  # noqa: N801
    """A method that waits for the asynchronous one and gives its result a blocking face."""

    def __init__(
        self,
        method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        wrap: Callable[[EventLoop, R], S],
    ) -> None:
        self._method = method
        self._wrap = wrap
        self.__doc__ = method.__doc__

    def __get__(self, owner: Face, kind: type | None = None) -> Callable[P, S]:
        bound = _bound(self._method, owner)

        @functools.wraps(bound)
        def wait(*args: P.args, **kwargs: P.kwargs) -> S:
            return self._wrap(owner.loop, owner.loop.run(bound(*args, **kwargs)))

        return wait


class iterating(Generic[P, R]):  # noqa: N801
    """A method that iterates over what the asynchronous one yields."""

    def __init__(self, method: Callable[Concatenate[Any, P], AsyncGenerator[R]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, owner: Face, kind: type | None = None) -> Callable[P, Iterator[R]]:
        bound = _bound(self._method, owner)

        @functools.wraps(bound)
        def walk(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
            return owner.loop.iterate(bound(*args, **kwargs))

        return walk
