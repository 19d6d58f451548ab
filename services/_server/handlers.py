"""What answers a call, put inside something that begins before it and ends after it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services._server.auth import Handler
from zeroloop.errors import InvalidRequestError

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Around: TypeAlias = Callable[[Context], AbstractAsyncContextManager[None]]

_FRAMEWORK = ("/grpc.health.", "/grpc.reflection.")


def is_framework(method: str) -> bool:
    """Whether a method is gRPC's own, such as a health check."""
    return method.startswith(_FRAMEWORK)


class _Unreadable:
    """Stands for a request that could not be read, until somebody may say so."""


def wrapped(handler: Handler, around: Around, *, refuses_unreadable: bool = False) -> Handler:
    """Return a handler of the same shape that answers each call within `around(context)`.

    Args:
        handler: To be put inside.
        around: Raises what ends the call before it begins, and sees what the handler raises.
        refuses_unreadable: Raise InvalidRequestError, within `around`, for what is no message of
            the method. Left alone, gRPC calls that an unknown error of the server's.
    """
    respond: Any
    make: Any
    read = _reader(handler) if refuses_unreadable else handler.request_deserializer
    checked = _checked_each if handler.request_streaming else _checked
    if handler.response_streaming:
        respond = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(context):
                asked = checked(request) if refuses_unreadable else request
                async for response in respond(asked, context):
                    yield response

        return make(stream, read, handler.response_serializer)
    respond = handler.stream_unary if handler.request_streaming else handler.unary_unary
    make = (
        grpc.stream_unary_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_unary_rpc_method_handler
    )

    async def call(request: Any, context: Context) -> Any:
        async with around(context):
            return await respond(checked(request) if refuses_unreadable else request, context)

    return make(call, read, handler.response_serializer)


def _reader(handler: Handler) -> Callable[[bytes], Any]:
    read: Any = handler.request_deserializer

    def deserialize(data: bytes) -> Any:
        try:
            return read(data) if read else data
        except (DecodeError, ValueError):
            return _Unreadable()

    return deserialize


def _checked(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise InvalidRequestError("the request cannot be read: it is no message of this method")
    return request


async def _checked_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)
