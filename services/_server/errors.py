"""One interceptor: errors become statuses with details, and every call has a deadline."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import grpc
import grpc.aio

from services._server.auth import Continuation, Handler
from services._server.handlers import Context, is_framework, wrapped
from zeroloop.errors import InternalError, InvalidRequestError, ZeroloopError
from zeroloop.status import DETAILS_KEY, code_of, details_of, shortened

logger = logging.getLogger(__name__)

_FOREVER_S = 10 * 365 * 24 * 3600.0


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
        if handler is None or is_framework(method):
            return handler
        return wrapped(handler, partial(_guarded, method=method), refuses_unreadable=True)


@asynccontextmanager
async def _guarded(context: Context, *, method: str) -> AsyncGenerator[None]:
    try:
        _require_deadline(context)
        yield
    except Exception as error:  # noqa: BLE001 (the boundary)
        await _abort(context, error, method)


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
    await context.abort(code_of(error), shortened(str(error)), trailing_metadata=details)
