"""Callers present a bearer token; the health service alone is open."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

OPEN_SERVICES = ("/grpc.health.v1.Health/",)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


async def _refuse(_: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "the token is missing or wrong; local services take the one in the token file "
        "that only their user can read (see docs/how-to/tokens.md)",
    )


async def _refuse_stream(
    _: Any, context: "grpc.aio.ServicerContext[Any, Any]"
) -> AsyncIterator[Any]:
    yield await _refuse(_, context)


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call without the token, in constant time."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

        self._refusals = {
            (False, False): grpc.unary_unary_rpc_method_handler(_refuse),
            (False, True): grpc.unary_stream_rpc_method_handler(_refuse_stream),
            (True, False): grpc.stream_unary_rpc_method_handler(_refuse),
            (True, True): grpc.stream_stream_rpc_method_handler(_refuse_stream),
        }

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_SERVICES):
            return handler
        presented = dict(handler_call_details.invocation_metadata).get("authorization", "")
        if hmac.compare_digest(str(presented).encode(), self._expected):
            return handler
        return self._refusals[bool(handler.request_streaming), bool(handler.response_streaming)]
