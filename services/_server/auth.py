"""Callers present a bearer token; the health service alone is open."""

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio

from zeroloop.errors import AuthError, InternalError, ZeroloopError
from zeroloop.status import DETAILS_KEY, code_of, details_of

logger = logging.getLogger(__name__)

OPEN_SERVICES = ("/grpc.health.v1.Health/",)
SCHEME = "Bearer "

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


class Authenticator(Protocol):
    """Decides who may call what."""

    async def admit(self, token: str, method: str) -> None:
        """Return if whoever presents `token` may call `method`.

        Raises:
            AuthError: Nobody has this token.
            ForbiddenError: Its owner may not.
            UnavailableError: It cannot be found out now; that is not the caller's fault.
        """
        ...


class SharedToken:
    """One token opens every method, compared in constant time."""

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    async def admit(self, token: str, method: str) -> None:
        """See `Authenticator`."""
        if not hmac.compare_digest(token.encode(), self._expected):
            raise AuthError(
                "the token is missing or wrong; local services take the one in the token file "
                "that only their user can read (see docs/how-to/tokens.md)"
            )


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call that is not admitted, before its message is read."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN_SERVICES):
            return handler
        metadata = dict(handler_call_details.invocation_metadata)
        presented = str(metadata.get("authorization", ""))
        token = presented.removeprefix(SCHEME) if presented.startswith(SCHEME) else ""
        try:
            await self._authenticator.admit(token, method)
        except ZeroloopError as error:
            return _refusing(handler, error)
        except Exception:
            logger.exception("admission_failed", extra={"rpc": method})
            return _refusing(handler, InternalError("who calls could not be found out"))
        return handler


def _refusing(handler: Handler, error: ZeroloopError) -> Handler:
    """A handler of the same shape that ends every call with `error`."""
    details = ((DETAILS_KEY, details_of(error)),)

    async def refuse(_: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        await context.abort(code_of(error), str(error), trailing_metadata=details)

    async def refuse_stream(
        request: Any, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[Any]:
        yield await refuse(request, context)

    if handler.response_streaming:
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(refuse_stream)
        return grpc.unary_stream_rpc_method_handler(refuse_stream)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)
