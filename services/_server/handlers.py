"""What answers a call, put inside something that begins before it and ends after it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import grpc
import grpc.aio

from services._server.auth import Handler

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Around: TypeAlias = Callable[[Context], AbstractAsyncContextManager[None]]

_FRAMEWORK = ("/grpc.health.", "/grpc.reflection.")


def is_framework(method: str) -> bool:
    """Whether a method is gRPC's own, such as a health check."""
    return method.startswith(_FRAMEWORK)


def wrapped(handler: Handler, around: Around) -> Handler:
    """Return a handler of the same shape that answers each call within `around(context)`."""
    respond: Any
    if handler.response_streaming:
        respond = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(context):
                async for response in respond(request, context):
                    yield response

        return make(stream, handler.request_deserializer, handler.response_serializer)
    respond = handler.stream_unary if handler.request_streaming else handler.unary_unary
    make = (
        grpc.stream_unary_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_unary_rpc_method_handler
    )

    async def call(request: Any, context: Context) -> Any:
        async with around(context):
            return await respond(request, context)

    return make(call, handler.request_deserializer, handler.response_serializer)
