"""Traces, metrics and logs of one process.

Spans and metrics go to an OTLP collector when OTEL_EXPORTER_OTLP_ENDPOINT is set, and as
JSON lines into a folder when one is given: `spans-<service>.jsonl`, `metrics-<service>.jsonl`.
Call `configure` once, after any fork, and `shutdown` in a `finally`.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_client_interceptors, filters
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services._server.semconv import SCHEMA_URL
from zeroloop import __version__

METRICS_EVERY_MS = 15_000
"""How often metrics are exported."""

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_W3C = TraceContextTextMapPropagator()


class JsonLogFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, fields, and the trace it belongs to."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "event": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
        line.update({k: v for k, v in vars(record).items() if k not in _PLAIN})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _JsonLines:
    """Appends objects to a file, a line each, from any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, objects: Sequence[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(o, default=str) + "\n" for o in objects)
        with self._lock:
            self._file.write(text)
            self._file.flush()


class FileSpanExporter(SpanExporter):
    """Writes each finished span as one JSON object with name, ids, times and attributes."""

    def __init__(self, path: Path) -> None:
        self._lines = _JsonLines(path)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._lines.write([_span_to_json(span) for span in spans])
        return SpanExportResult.SUCCESS


class FileMetricExporter(MetricExporter):
    """Writes each data point as one JSON object with time, name, unit, attributes and value."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._lines = _JsonLines(path)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self._lines.write(list(_points_of(metrics_data)))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass


def configure(
    service: str,
    *,
    folder: Path | None,
    otlp: bool,
    log_level: str = "INFO",
    readers: Sequence[MetricReader] = (),
) -> TracerProvider:
    """Set up this process's traces, metrics and logs.

    Args:
        service: Short name; the resource's `service.name` is `zeroloop-<service>`.
        folder: Where the JSON lines go; None for none.
        otlp: Also send to the collector that the standard OTEL_* variables name.
        log_level: DEBUG, INFO, WARNING or ERROR; logs go to standard error.
        readers: Who else reads the metrics.
    """
    _configure_logging(service, log_level)
    resource = Resource.create(
        {"service.name": f"zeroloop-{service}", "service.version": __version__}, SCHEMA_URL
    )
    tracing = TracerProvider(resource=resource)
    reading = list(readers)
    if folder is not None:
        spans = FileSpanExporter(folder / f"spans-{service}.jsonl")
        tracing.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=1000))
        points = FileMetricExporter(folder / f"metrics-{service}.jsonl")
        reading.append(PeriodicExportingMetricReader(points, METRICS_EVERY_MS))
    if otlp:
        tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reading.append(PeriodicExportingMetricReader(OTLPMetricExporter(), METRICS_EVERY_MS))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider(metric_readers=reading, resource=resource))
    return tracing


def shutdown() -> None:
    """Write out what is pending. Safe to call more than once."""
    for provider in trace.get_tracer_provider(), metrics.get_meter_provider():
        stop = getattr(provider, "shutdown", None)
        if stop is not None:
            stop()


def client_interceptors() -> list[grpc.aio.ClientInterceptor]:
    """Hand the current trace to the called service."""
    return list(aio_client_interceptors(filter_=filters.negate(filters.health_check())))


def traceparent() -> str:
    """The current span as a W3C `traceparent`; empty without one."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent", "")


def context_from(traceparent_text: str) -> Context:
    """The context in which a span becomes a child of `traceparent_text`; empty text: a root."""
    return _W3C.extract({"traceparent": traceparent_text} if traceparent_text else {})


def _configure_logging(service: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # gRPC closes a stream that its reader left in another context than it began in, and the
    # instrumentation reports each such end as an error.
    logging.getLogger("opentelemetry.context").setLevel(logging.CRITICAL)


def _span_to_json(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "service": str(span.resource.attributes.get("service.name", "")),
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "kind": span.kind.name,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": e.name, "time_ns": e.timestamp, "attributes": dict(e.attributes or {})}
            for e in span.events
        ],
        "links": [f"{link.context.trace_id:032x}" for link in span.links],
    }


def _points_of(data: MetricsData) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    for resource in data.resource_metrics:
        service = str(resource.resource.attributes.get("service.name", ""))
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points += [
                    {
                        "time_ns": point.time_unix_nano,
                        "service": service,
                        "name": metric.name,
                        "unit": metric.unit,
                        "attributes": dict(point.attributes or {}),
                    }
                    | _value_of(point)
                    for point in metric.data.data_points
                ]
    return points


def _value_of(point: Any) -> dict[str, Any]:
    if hasattr(point, "value"):
        return {"value": point.value}
    return {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
