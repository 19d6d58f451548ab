"""Streams either way, with the errors of this project and nothing left open."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
)
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio

from zeroloop.client.channel import translate_errors
from zeroloop.errors import ZeroloopError

M = TypeVar("M")
V = TypeVar("V")
R = TypeVar("R")


def read_all(start: Callable[[], Any], convert: Callable[[Any], V]) -> AsyncGenerator[V]:
    """Yield each reply of a server-streaming call.

    The call begins with the first reply that is asked for, and ends when the reader stops:
    nothing goes on for nobody. Who hands this generator on must hand on itself, not a
    generator around it, or close it: `in_turn` does.
    """
    return read_each(start, lambda reply: (convert(reply),))


async def read_each(
    start: Callable[[], Any], convert: Callable[[Any], Iterable[V]]
) -> AsyncGenerator[V]:
    """Like `read_all`, for replies that hold several."""
    call = start()
    try:
        with translate_errors():
            async for reply in call:
                for item in convert(reply):
                    yield item
    finally:
        call.cancel()


async def in_turn(streams: Iterable[AsyncGenerator[V]]) -> AsyncGenerator[V]:
    """Yield what each stream yields, one stream after the other."""
    for stream in streams:
        async with aclosing(stream):
            async for item in stream:
                yield item


async def read_until_deadline(
    start: Callable[[], Any], convert: Callable[[Any], V]
) -> AsyncGenerator[V]:
    """Like `read_all`, but a deadline that passes ends the stream instead of failing it."""
    call = start()
    try:
        with translate_errors():
            try:
                async for reply in call:
                    yield convert(reply)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
    finally:
        call.cancel()


async def write_all(
    start: Callable[[AsyncIterator[M]], grpc.aio.StreamUnaryCall[M, R]],
    messages: AsyncIterable[M],
) -> R:
    """Begin a client-streaming call that sends `messages`, and return its reply.

    An error of `messages` cancels the call and is raised as it is. They are handed over as an
    iterator: writing one by one waits for every interceptor to have returned, and one that
    awaits the reply, as those for tracing do, would never return.
    """
    failures: list[Exception] = []
    call = start(_noted(messages, failures))
    try:
        with _ended_by(failures), translate_errors():
            return await call
    finally:
        call.cancel()


async def read_while_writing(
    start: Callable[[AsyncIterator[M]], Any],
    messages: AsyncIterable[M],
    convert: Callable[[Any], V],
) -> AsyncGenerator[V]:
    """Yield each reply of a call that streams both ways.

    An error of `messages` ends the call; it is raised as it is, after the replies before it.
    """
    failures: list[Exception] = []
    call = start(_noted(messages, failures))
    try:
        with _ended_by(failures), translate_errors():
            async for reply in call:
                yield convert(reply)
    finally:
        call.cancel()


async def _noted(messages: AsyncIterable[M], failures: list[Exception]) -> AsyncGenerator[M]:
    try:
        async for message in messages:
            yield message
    except Exception as error:
        failures.append(error)
        raise


@contextmanager
def _ended_by(failures: list[Exception]) -> Generator[None]:
    """gRPC turns an error of the iterator that it is given into a cancellation of the call."""
    try:
        yield
    except (asyncio.CancelledError, ZeroloopError):
        if failures:
            raise failures[0] from None
        raise


async def each(items: Iterable[V] | AsyncIterable[V]) -> AsyncGenerator[V]:
    """Iterate over either kind of iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
