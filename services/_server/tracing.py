"""One span per call, a child of the caller's, and how long the call took.

The contrib interceptor detaches its context when a stream ends, which fails loudly whenever
the stream was cancelled. Each call runs in a task of its own, whose context dies with it, so
this one attaches and leaves it at that. Names are those of OpenTelemetry's RPC conventions.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import grpc
import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services._server import instruments, semconv
from services._server.auth import Continuation, Handler
from services._server.handlers import Context, is_framework, wrapped

_duration = instruments.histogram(metrics.get_meter(__name__), semconv.METRIC_RPC_DURATION)

_OURS = {
    *(grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL),
    *(grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS),
}
"""Statuses that are the server's fault; others are the caller's and no error of this span."""


MARGIN_S = 0.25
"""A caller whose time runs out by its own clock leaves up to this long before the server's ends."""


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
    span, started_s = _start(method, metadata), time.monotonic()
    left = False
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        left = True
        raise
    finally:
        code = _left(context) if left else _code(context)
        _end(span, code)
        _record(method, code, time.monotonic() - started_s)


def _start(method: str, metadata: dict[str, str]) -> Span:
    parent = propagate.extract(metadata)
    name = method.removeprefix("/")
    attributes = {"rpc.system.name": "grpc", semconv.RPC_METHOD: name}
    tracer = trace.get_tracer(__name__)
    span = tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes=attributes)
    otel_context.attach(trace.set_span_in_context(span, parent))
    return span


def _end(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute(semconv.RPC_STATUS, code.name)
    if code in _OURS:
        span.set_attribute(semconv.ERROR_TYPE, code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _record(method: str, code: grpc.StatusCode, duration_s: float) -> None:
    labels = {semconv.RPC_METHOD: method.removeprefix("/"), semconv.RPC_STATUS: code.name}
    if code in _OURS:
        labels[semconv.ERROR_TYPE] = code.name
    _duration.record(duration_s, labels)


def _left(context: Context) -> grpc.StatusCode:
    """Why nobody waits for the answer any more: the caller left, or its time ran out."""
    remaining_s = cast("float | None", context.time_remaining())
    over = remaining_s is not None and remaining_s <= MARGIN_S
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED


def _code(context: Any) -> grpc.StatusCode:
    """What was or will be sent: integers come from gRPC's own aborts."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    by_number = {status.value[0]: status for status in grpc.StatusCode}
    return by_number.get(code, grpc.StatusCode.OK)
