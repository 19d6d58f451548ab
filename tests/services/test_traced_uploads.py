"""A stream towards a server passes through every interceptor, tracing included."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from services._server import telemetry
from services._server.errors import ErrorInterceptor
from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc as stubs
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.core.rounds import Stage, StageSummary, StoredVerdict
from zeroloop.errors import FailedPreconditionError


class Rounds(stubs.RoundServiceServicer):
    """Counts what it is sent; refuses round 7 at its first message."""

    def __init__(self) -> None:
        self.received = 0

    async def PutStage(self, request_iterator: Any, context: Any) -> Any:
        async for message in request_iterator:
            if message.HasField("header") and message.header.round == 7:
                raise FailedPreconditionError("round 7 is committed")
            self.received += 1
        return pb.PutStageResponse()


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


@pytest.fixture
async def buffer(rounds: Rounds) -> AsyncIterator[BufferClient]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    stubs.add_RoundServiceServicer_to_server(rounds, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    tracing = telemetry.client_interceptors()
    async with open_channel(address, token="t", interceptors=tracing) as channel:
        yield BufferClient(channel)
    await server.stop(None)


VERDICTS = [StoredVerdict(index=i, rejection="syntax_error") for i in range(200)]
SUMMARY = StageSummary(stage=Stage.VALIDATE)


@pytest.mark.timeout(20)
async def test_a_traced_upload_arrives_whole(buffer: BufferClient, rounds: Rounds) -> None:
    assert await buffer.rounds.put_stage("demo", 1, SUMMARY, VERDICTS)
    assert rounds.received == 201


@pytest.mark.timeout(20)
async def test_an_error_of_the_records_is_raised_as_it_is(buffer: BufferClient) -> None:
    async def records() -> AsyncIterator[StoredVerdict]:
        yield VERDICTS[0]
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        await buffer.rounds.put_stage("demo", 1, SUMMARY, records())


@pytest.mark.timeout(20)
async def test_a_refusal_before_the_end_is_told(buffer: BufferClient) -> None:
    with pytest.raises(FailedPreconditionError, match="round 7 is committed"):
        await buffer.rounds.put_stage("demo", 7, SUMMARY, VERDICTS)
