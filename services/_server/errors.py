"""One interceptor: errors become statuses with details, and every call has a deadline."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio

from services._server.auth import Continuation, Handler
from zeroloop.errors import InternalError, InvalidRequestError, ZeroloopError
from zeroloop.status import DETAILS_KEY, code_of, details_of

logger = logging.getLogger(__name__)

_FRAMEWORK = ("/grpc.health.", "/grpc.reflection.")
_FOREVER_S = 10 * 365 * 24 * 3600.0

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a servicer raises into a `google.rpc.Status`.

    Errors of `zeroloop.errors` keep their message; anything else is logged with its
    traceback, once, and reaches the caller as INTERNAL without it. A call without a
    deadline is refused: it could hold resources for ever.
    """

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_FRAMEWORK):
            return handler
        if handler.response_streaming:
            return _guarded_stream(handler, method)
        return _guarded_unary(handler, method)


def _guarded_unary(handler: Handler, method: str) -> Handler:
    respond = handler.stream_unary if handler.request_streaming else handler.unary_unary
    assert respond is not None

    async def call(request: Any, context: Context) -> Any:
        try:
            _require_deadline(context)
            return await _awaitable(respond)(request, context)
        except Exception as error:  # noqa: BLE001 (the boundary)
            await _abort(context, error, method)

    make = (
        grpc.stream_unary_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(call, handler.request_deserializer, handler.response_serializer)


def _guarded_stream(handler: Handler, method: str) -> Handler:
    respond = handler.stream_stream if handler.request_streaming else handler.unary_stream
    assert respond is not None

    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            _require_deadline(context)
            async for response in _iterator(respond)(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 (the boundary)
            await _abort(context, error, method)

    make = (
        grpc.stream_stream_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_stream_rpc_method_handler
    )
    return make(call, handler.request_deserializer, handler.response_serializer)


def _awaitable(respond: Any) -> Callable[[Any, Context], Awaitable[Any]]:
    return respond


def _iterator(respond: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
    return respond


def _require_deadline(context: Context) -> None:
    remaining_s = cast("float | None", context.time_remaining())
    if remaining_s is None or remaining_s > _FOREVER_S:
        raise InvalidRequestError("every call needs a deadline; set a time-out on it")


async def _abort(context: Context, error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ZeroloopError):
        logger.error("rpc_failed", exc_info=error, extra={"rpc": method})
        error = InternalError(f"internal error in {method}; the service's log has the cause")
    details = ((DETAILS_KEY, details_of(error)),)
    await context.abort(code_of(error), str(error), trailing_metadata=details)
