"""Spans of calls, over a real wire."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services._server.errors import ErrorInterceptor
from services._server.telemetry import client_interceptors
from services._server.tracing import TracingInterceptor
from zeroloop.client.channel import open_channel
from zeroloop.errors import NotFoundError
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc

METHOD = "zeroloop.execution.v1.ExecutionService"


class Servicer(execution_pb2_grpc.ExecutionServiceServicer):
    async def GetCapabilities(self, request, context):
        raise NotFoundError("nothing here")

    async def Execute(self, request, context):
        with trace.get_tracer("test").start_as_current_span("inner"):
            yield pb.ExecuteResponse()
        await asyncio.sleep(len(request.programs))
        yield pb.ExecuteResponse()


@pytest.fixture
def spans(monkeypatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "get_tracer", lambda name, *a, **k: provider.get_tracer(name))
    return exporter


@pytest.fixture
async def stub(spans) -> AsyncIterator[execution_pb2_grpc.ExecutionServiceStub]:
    server = grpc.aio.server(interceptors=[TracingInterceptor(), ErrorInterceptor()])
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", interceptors=client_interceptors()) as channel:
        yield execution_pb2_grpc.ExecutionServiceStub(channel)
    await server.stop(None)


async def finished(spans: InMemorySpanExporter, name: str):
    for _ in range(100):
        for span in spans.get_finished_spans():
            if span.name == name:
                return span
        await asyncio.sleep(0.01)
    raise AssertionError(f"no span {name}: {[s.name for s in spans.get_finished_spans()]}")


async def test_work_inside_a_streaming_call_belongs_to_the_callers_trace(stub, spans) -> None:
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        assert len([r async for r in stub.Execute(pb.ExecuteRequest(), timeout=5)]) == 2

    server = await finished(spans, f"{METHOD}/Execute")
    inner = await finished(spans, "inner")
    assert server.context.trace_id == caller.get_span_context().trace_id
    assert inner.parent.span_id == server.context.span_id
    assert server.attributes["rpc.response.status_code"] == "OK"


async def test_a_cancelled_stream_ends_its_span_without_noise(stub, spans, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        call = stub.Execute(pb.ExecuteRequest(programs=[pb.Program()] * 30), timeout=60)
        await call.read()
        call.cancel()
        await finished(spans, f"{METHOD}/Execute")

    assert "detach" not in caplog.text


async def test_calls_that_nobody_waits_for_end_as_their_callers_see_it(stub, spans) -> None:
    slow = pb.ExecuteRequest(programs=[pb.Program()] * 30)
    left = stub.Execute(slow, timeout=60)
    await left.read()
    left.cancel()
    with pytest.raises(grpc.aio.AioRpcError, match="Deadline"):
        _ = [reply async for reply in stub.Execute(slow, timeout=0.5)]

    def codes() -> set[object]:
        finished = spans.get_finished_spans()
        return {span.attributes.get("rpc.response.status_code") for span in finished}

    async with asyncio.timeout(20):
        while not codes() >= {"CANCELLED", "DEADLINE_EXCEEDED"}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_callers_mistake_is_no_error_of_the_server(stub, spans) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=5)

    span = await finished(spans, f"{METHOD}/GetCapabilities")
    assert span.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert span.status.status_code is trace.StatusCode.UNSET
