"""Streams either way, with the errors of this project and nothing left open."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio

from zeroloop.client.channel import translate_errors
from zeroloop.errors import ZeroloopError

M = TypeVar("M")
V = TypeVar("V")
R = TypeVar("R")


async def read_all(call: Any, convert: Callable[[Any], V]) -> AsyncGenerator[V]:
    """Yield each reply of a server-streaming call; the call ends when the reader stops."""
    try:
        with translate_errors():
            async for reply in call:
                yield convert(reply)
    finally:
        call.cancel()


async def read_until_deadline(call: Any, convert: Callable[[Any], V]) -> AsyncGenerator[V]:
    """Like `read_all`, but a deadline that passes ends the stream instead of failing it."""
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

    async def handed_over() -> AsyncGenerator[M]:
        try:
            async for message in messages:
                yield message
        except Exception as error:
            failures.append(error)
            raise

    call = start(handed_over())
    try:
        with translate_errors():
            return await call
    except (asyncio.CancelledError, ZeroloopError):
        # gRPC turns an error of its iterator into a cancellation of the call.
        if failures:
            raise failures[0] from None
        raise
    finally:
        call.cancel()


async def each(items: Iterable[V] | AsyncIterable[V]) -> AsyncGenerator[V]:
    """Iterate over either kind of iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
