"""Requests at the edge of what the wire carries. What is not mended yet says so."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tests.hostile.callers import DEADLINE_S, ONE, failure_of, program, request
from zeroloop.client.channel import open_channel
from zeroloop.errors import InvalidRequestError
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc as stubs

METHOD = "/zeroloop.execution.v1.ExecutionService/Execute"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def channel(address: str) -> AsyncIterator[Any]:
    async with open_channel(address) as channel:
        yield channel


def written(**fields: bytes) -> bytes:
    """A request with one program, whose texts need not be UTF-8."""
    numbers = {"program_id": 1, "source": 2, "inputs": 3}
    parts = [
        bytes([numbers[name] << 3 | 2, len(data)]) + data
        for name, data in ({"source": ONE.encode(), "inputs": b""} | fields).items()
    ]
    body = b"".join(parts)
    return bytes([1 << 3 | 2, len(body)]) + body


def answers(channel: Any, message: bytes) -> Any:
    """The call that sends `message` as it is."""
    call = channel.unary_stream(
        METHOD, request_serializer=bytes, response_deserializer=pb.ExecuteResponse.FromString
    )
    return call(message, timeout=DEADLINE_S)


async def test_a_message_written_by_hand_is_answered(channel: Any) -> None:
    replies = [reply async for reply in answers(channel, written())]

    assert [reply.result.value for reply in replies] == ["1"]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(written(source=b"# \xe9\n" + ONE.encode()), id="Latin-1 in the source"),
        pytest.param(written(source=b"x = '\xed\xa0\x80'"), id="a lone surrogate in the source"),
        pytest.param(written(inputs=b"'\xff'"), id="no UTF-8 in an input"),
        pytest.param(written(program_id=b"\xed\xa0\x80"), id="a lone surrogate as id"),
        pytest.param(written()[:-3], id="a message that is cut"),
        pytest.param(b"\xff" * 64, id="junk"),
    ],
)
async def test_what_cannot_be_read_is_the_callers_fault(channel: Any, message: bytes) -> None:
    error = await failure_of(answers(channel, message))

    assert isinstance(error, InvalidRequestError), repr(error)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda: request(*[program(inputs=[])] * 10_000), id="10,000 bad programs"),
        pytest.param(
            lambda: request(*[program(inputs=["1" * 65_537] * 64)] * 4), id="256 long inputs"
        ),
    ],
)
async def test_many_problems_are_refused_as_one_is(
    channel: Any, asked: Callable[[], pb.ExecuteRequest]
) -> None:
    stub = stubs.ExecutionServiceStub(channel)

    error = await failure_of(stub.Execute(asked(), timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError), repr(error)


@pytest.mark.parametrize("name", ["cpu_time", "wall_time"])
@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
async def test_absurd_durations_are_refused_by_name(channel: Any, name: str, seconds: int) -> None:
    asked = request(program(), **{name: Duration(seconds=seconds)})

    error = await failure_of(stubs.ExecutionServiceStub(channel).Execute(asked, timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError), repr(error)
    assert f"limits.{name}" in str(error)


@pytest.mark.parametrize("name", ["cpu_time", "wall_time"])
async def test_a_nanosecond_is_refused_and_not_taken_for_unset(channel: Any, name: str) -> None:
    asked = request(program(), **{name: Duration(nanos=1)})

    error = await failure_of(stubs.ExecutionServiceStub(channel).Execute(asked, timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError), repr(error)


async def test_no_two_results_of_a_call_have_the_same_name(channel: Any) -> None:
    asked = request(program(name="1"), program())
    stub = stubs.ExecutionServiceStub(channel)

    error = await failure_of(stub.Execute(asked, timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError)


async def test_no_two_results_of_a_stream_have_the_same_name(channel: Any) -> None:
    asked = [pb.ExecuteStreamRequest(program=program(name="a")) for _ in range(2)]
    stub = stubs.ExecutionServiceStub(channel)

    error = await failure_of(stub.ExecuteStream(iter(asked), timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError)
