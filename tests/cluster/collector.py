"""A collector of traces on the host, for pods of the cluster: OTLP over gRPC, kept in memory."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Span:
    """What tests ask of a span."""

    trace_id: str
    name: str
    service: str
    pod: str
    attributes: dict[str, Any]
    duration_s: float


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.endpoint = ""

    def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            of_resource = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        span.trace_id.hex(),
                        span.name,
                        of_resource.get("service.name", ""),
                        of_resource.get("k8s.pod.name", ""),
                        _attributes(span.attributes),
                        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    )
                    for span in scope.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes metrics, so that whoever sends them is content."""

    def Export(self, request: Any, context: Any) -> Any:
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def collecting(address: str) -> Generator[Collector]:
    """Collect at an address of the host while the block lasts."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(), server)
    port = server.add_insecure_port(f"{address}:0")
    server.start()
    collector.endpoint = f"http://{address}:{port}"
    try:
        yield collector
    finally:
        server.stop(1).wait()


def _attributes(entries: Any) -> dict[str, Any]:
    return {e.key: getattr(e.value, e.value.WhichOneof("value") or "string_value") for e in entries}
