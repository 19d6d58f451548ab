"""One span per call, a child of the caller's.

The contrib interceptor detaches its context when a stream ends, which fails loudly whenever
the stream was cancelled. Each call runs in a task of its own, whose context dies with it, so
this one attaches and leaves it at that. Names are those of OpenTelemetry's RPC conventions.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services._server.auth import Continuation, Handler
from services._server.handlers import Context, is_framework, wrapped

_OURS = {
    *(grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL),
    *(grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS),
}
"""Statuses that are the server's fault; others are the caller's and no error of this span."""


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """Continues the caller's trace in every call but health checks and reflection."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or is_framework(method):
            return handler
        metadata = {k: v for k, v in handler_call_details.invocation_metadata if isinstance(v, str)}
        return wrapped(handler, partial(_traced, method=method, metadata=metadata))


@asynccontextmanager
async def _traced(
    context: Context, *, method: str, metadata: dict[str, str]
) -> AsyncGenerator[None]:
    span = _start(method, metadata)
    try:
        yield
    finally:
        _end(span, context)


def _start(method: str, metadata: dict[str, str]) -> Span:
    parent = propagate.extract(metadata)
    name = method.removeprefix("/")
    attributes = {"rpc.system.name": "grpc", "rpc.method": name}
    tracer = trace.get_tracer(__name__)
    span = tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes=attributes)
    otel_context.attach(trace.set_span_in_context(span, parent))
    return span


def _end(span: Span, context: Any) -> None:
    code = _code(context)
    span.set_attribute("rpc.response.status_code", code.name)
    if code in _OURS:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _code(context: Any) -> grpc.StatusCode:
    """What was or will be sent: integers come from gRPC's own aborts."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    by_number = {status.value[0]: status for status in grpc.StatusCode}
    return by_number.get(code, grpc.StatusCode.OK)
