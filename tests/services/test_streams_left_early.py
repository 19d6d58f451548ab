"""Who leaves a stream early ends the call at once: nothing goes on for nobody."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
import pytest

from zeroloop.buffer.v1 import buffer_pb2
from zeroloop.client import _buffer_wire, _inference_wire
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.client.controller import RunClient
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.inference import InferenceClient
from zeroloop.client.reward import RewardClient
from zeroloop.core.execution import Program
from zeroloop.core.generation import Completion, Prompt, Sampling, ScoredTokens
from zeroloop.core.judging import Proposal
from zeroloop.core.rounds import Estimate, Stage
from zeroloop.core.tasks import Kind
from zeroloop.execution.v1 import execution_pb2
from zeroloop.inference.v1 import inference_pb2

LEFT_S = 5.0
"""Far above what a cancellation takes, far below any deadline."""


_completion = Completion(prompt_index=0, sample_index=0, text="", token_ids=())
_estimate = Estimate(index=0, outcomes=(), accuracies=())
REPLIES = {
    "Execute": execution_pb2.ExecuteResponse(
        results=[execution_pb2.Result()] * 2
    ).SerializeToString(),
    "Generate": inference_pb2.GenerateResponse(
        completion=_inference_wire.completion_to_pb(_completion)
    ).SerializeToString(),
    "GetStage": buffer_pb2.GetStageResponse(
        record=_buffer_wire.record_to_pb(_estimate)
    ).SerializeToString(),
}
"""Messages that may not be empty, by method."""


class Endless(grpc.GenericRpcHandler):
    """Answers every method with one message after the other, until the caller has left."""

    def __init__(self) -> None:
        self.address = ""
        self.open = 0
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method.rpartition("/")[2]

        async def answer(request: Any, context: Any) -> AsyncIterator[bytes]:
            self.open += 1
            self.reached.set()
            try:
                while True:
                    yield REPLIES.get(method, b"")
                    await asyncio.sleep(0.01)
            finally:
                self.open -= 1
                self.left.set()

        if method == "ExecuteStream":
            return grpc.stream_stream_rpc_method_handler(answer)
        return grpc.unary_stream_rpc_method_handler(answer)


@pytest.fixture
async def endless() -> AsyncGenerator[Endless]:
    endless = Endless()
    server = grpc.aio.server(handlers=[endless])
    endless.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield endless
    await server.stop(None)


@pytest.fixture
async def channel(endless: Endless) -> AsyncGenerator[grpc.aio.Channel]:
    async with open_channel(endless.address, token="secret") as channel:
        yield channel


PROPOSAL = Proposal(proposal_id="1", kind=Kind.DEDUCTION, response="")


async def programs() -> AsyncIterator[Program]:
    yield Program("", ())
    await asyncio.sleep(3600)


STREAMS: dict[str, Callable[[grpc.aio.Channel], AsyncGenerator[Any]]] = {
    "generate": lambda c: InferenceClient(c).generate([Prompt(text="")], Sampling(max_tokens=1)),
    "score": lambda c: InferenceClient(c).score([ScoredTokens(token_ids=(1, 2), prompt_tokens=1)]),
    "watch run": lambda c: RunClient(c).watch_run("r"),
    "execute": lambda c: ExecutionClient(c).execute([]),
    "execute stream": lambda c: ExecutionClient(c).execute_stream(programs()),
    "validate": lambda c: RewardClient(c).validate([PROPOSAL]),
    "get stage": lambda c: BufferClient(c).rounds.get_stage("r", 1, Stage.SOLVE),
    "watch weights": lambda c: BufferClient(c).weights.watch("r"),
}
each_stream = pytest.mark.parametrize("name", STREAMS)


@each_stream
async def test_closing_a_stream_ends_the_call(
    channel: grpc.aio.Channel, endless: Endless, name: str
) -> None:
    stream = STREAMS[name](channel)
    async for _ in stream:
        break
    assert endless.open == 1

    await stream.aclose()

    async with asyncio.timeout(LEFT_S):
        await endless.left.wait()


@each_stream
async def test_an_error_of_the_reader_ends_the_call(
    channel: grpc.aio.Channel, endless: Endless, name: str
) -> None:
    async def read() -> None:
        async with aclosing(STREAMS[name](channel)) as stream:
            async for _ in stream:
                _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        await read()

    async with asyncio.timeout(LEFT_S):
        await endless.left.wait()
    assert caught.value.__traceback__, "keeps all that it went through alive"


@each_stream
async def test_a_cancelled_reader_ends_the_call(
    channel: grpc.aio.Channel, endless: Endless, name: str
) -> None:
    stream = STREAMS[name](channel)

    async def read() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(read())
    async with asyncio.timeout(LEFT_S):
        await endless.reached.wait()
    reader.cancel()

    async with asyncio.timeout(LEFT_S):
        await endless.left.wait()
