"""Streams either way, with the errors of this project and nothing left open."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio

from zeroloop.client.channel import translate_errors

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


async def write_all(call: grpc.aio.StreamUnaryCall[M, R], messages: AsyncIterable[M]) -> R:
    """Send `messages` over a client-streaming call and return its reply.

    An error of `messages` cancels the call and is raised as it is, which handing gRPC an
    iterator would turn into a cancellation of the caller.
    """
    try:
        with translate_errors():
            async for message in messages:
                try:
                    await call.write(message)
                except asyncio.InvalidStateError:
                    break  # The server has answered early; the reply says why.
            await call.done_writing()
            return await call
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
