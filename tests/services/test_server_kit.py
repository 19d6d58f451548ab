"""The server kit over a real wire: authentication, deadlines, errors, health, reflection."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services._server.health import Health
from zeroloop.client.channel import open_channel, translate_errors
from zeroloop.errors import (
    AuthError,
    InternalError,
    InvalidRequestError,
    OverloadedError,
    Violation,
    ZeroloopError,
    invalid,
)
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc

TOKEN = "right"
SERVICE = "zeroloop.execution.v1.ExecutionService"


class ScriptedServicer(execution_pb2_grpc.ExecutionServiceServicer):
    """Fails in the way that the first program's source says."""

    async def Execute(self, request, context):
        yield pb.ExecuteResponse()
        match request.programs[0].source:
            case "invalid":
                raise invalid("limits.cpu_time", "must be at most 60 s, got 61 s")
            case "bug":
                raise KeyError("password=secret")

    async def ExecuteStream(self, request_iterator, context):
        async for _ in request_iterator:
            yield pb.ExecuteStreamResponse()

    async def GetCapabilities(self, request, context):
        raise OverloadedError("full", retry_after_s=2.5)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(SharedToken(TOKEN)), ErrorInterceptor()]
    )
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(ScriptedServicer(), server)
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    await health.serving(SERVICE)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=None)


@pytest.fixture
async def stub(address: str) -> AsyncIterator[execution_pb2_grpc.ExecutionServiceStub]:
    async with open_channel(address, token=TOKEN) as channel:
        yield execution_pb2_grpc.ExecutionServiceStub(channel)


def program(source: str) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(programs=[pb.Program(source=source)])


async def drain(stub, source: str, timeout: float | None = 5) -> int:
    with translate_errors():
        return len([reply async for reply in stub.Execute(program(source), timeout=timeout)])


async def test_a_call_with_token_and_deadline_passes(stub) -> None:
    assert await drain(stub, "fine") == 1


async def test_streams_towards_the_server_carry_the_token_too(stub) -> None:
    requests = iter([pb.ExecuteStreamRequest(), pb.ExecuteStreamRequest()])

    replies = [reply async for reply in stub.ExecuteStream(requests, timeout=5)]

    assert len(replies) == 2


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_wrong_token_is_refused_on_every_shape_of_call(address, token) -> None:
    async with open_channel(address, token=token) as channel:
        stub = execution_pb2_grpc.ExecutionServiceStub(channel)
        with pytest.raises(AuthError, match="token is missing or wrong"):
            await drain(stub, "fine")
        with pytest.raises(AuthError), translate_errors():
            await stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=5)
        with pytest.raises(AuthError), translate_errors():
            _ = [r async for r in stub.ExecuteStream(iter([]), timeout=5)]


async def test_health_is_open_and_follows_the_service(address) -> None:
    async with open_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)

    assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_process_serves_only_while_every_service_does() -> None:
    health = Health()
    request = health_pb2.HealthCheckRequest(service="")
    await health.serving("a", "b")
    await health.not_serving("b")
    assert (await health.servicer.Check(request, None)).status == 2
    await health.serving("b")
    assert (await health.servicer.Check(request, None)).status == 1


async def test_a_call_without_deadline_is_refused(stub) -> None:
    with pytest.raises(InvalidRequestError, match="needs a deadline"):
        await drain(stub, "fine", timeout=None)


async def test_field_violations_reach_the_caller(stub) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await drain(stub, "invalid")

    violation = Violation("limits.cpu_time", "must be at most 60 s, got 61 s")
    assert caught.value.violations == (violation,)


async def test_retry_advice_reaches_the_caller(stub) -> None:
    with pytest.raises(OverloadedError) as caught, translate_errors():
        await stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=5)

    assert caught.value.retry_after_s == 2.5


async def test_a_bug_is_internal_and_keeps_its_text_to_itself(stub, caplog) -> None:
    with pytest.raises(InternalError) as caught:
        await drain(stub, "bug")

    assert "secret" not in str(caught.value)
    assert "rpc_failed" in caplog.text


def test_every_error_of_the_tree_survives_the_wire() -> None:
    from zeroloop.status import code_of, error_of

    def leaves(kind: type[ZeroloopError]) -> list[type[ZeroloopError]]:
        below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
        return [kind, *below]

    for kind in leaves(ZeroloopError):
        received = error_of(code_of(kind("why")), "why")
        assert isinstance(received, ZeroloopError)
        assert "why" in str(received)
