"""What callers of the service over its wire do, good ones and bad ones."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Limits, Program
from zeroloop.errors import ZeroloopError
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.status import error_of

DEADLINE_S = 60.0
ONE = "def f(*_): return 1"
PATIENT = Limits(cpu_time_s=10.0, memory_mib=256)


@asynccontextmanager
async def undisturbed(address: str, mode: Mapping[str, Any]) -> AsyncGenerator[None]:
    """Another caller works all the while; its call that ends after the block is right too."""
    leave = asyncio.Event()

    async def work() -> None:
        program = Program("def f(x):\n    return [x] * 3\n", tuple(map(str, range(4))))
        async with open_channel(address) as channel:
            execute = ExecutionClient(channel).execute
            while True:
                last = leave.is_set()
                results = [result async for result in execute([program], PATIENT, **mode)]
                found = {result.input_index: result.value for result in results}
                assert found == {x: str([x] * 3) for x in range(4)}
                if last:
                    return

    other = asyncio.create_task(work())
    try:
        yield
        leave.set()
        async with asyncio.timeout(DEADLINE_S):
            await other
    finally:
        other.cancel()


def request(*programs: pb.Program, **limits: Any) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(programs=programs, limits=pb.Limits(**limits))


def program(source: str = ONE, inputs: Sequence[str] = ("",), name: str = "") -> pb.Program:
    return pb.Program(source=source, inputs=inputs, program_id=name)


async def failure_of(call: Any) -> ZeroloopError:
    """The error that a client makes of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    error = caught.value
    trailing = cast("Any", tuple(error.trailing_metadata() or ()))
    return error_of(error.code(), error.details() or "", trailing)
