"""Requests that no caller should make: refused by name or answered, and nobody else notices."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from services.execution import pool
from services.execution.backend import Backend
from tests.hostile.callers import (
    DEADLINE_S,
    ONE,
    PATIENT,
    failure_of,
    program,
    request,
    undisturbed,
)
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Program
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import InvalidRequestError
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc as stubs

LOOP = "def f():\n    while True: pass"
SPAM = "def f(n):\n    print('x' * 60_000)\n    return n"
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def stub(address: str) -> AsyncIterator[Any]:
    async with open_channel(address) as channel:
        yield stubs.ExecutionServiceStub(channel)


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        pytest.param(
            lambda: request(program(inputs=["1"] * 10_000)),
            "programs[0].inputs",
            ["between 1 and 64", "10000"],
            id="10,000 inputs",
        ),
        pytest.param(
            lambda: request(*[program()] * 10_000),
            "programs",
            ["64", "10000"],
            id="10,000 programs",
        ),
        pytest.param(
            lambda: request(program(), program("#" * 65_537)),
            "programs[1].source",
            ["65536 bytes", "65537"],
            id="source over the limit",
        ),
        pytest.param(
            lambda: request(program("é" * 40_000)),
            "programs[0].source",
            ["65536 bytes", "80000"],
            id="source whose bytes are over the limit",
        ),
        pytest.param(
            lambda: request(program(inputs=["", "1" * 1_000_000])),
            "programs[0].inputs[1]",
            ["65536 bytes", "1000000"],
            id="input over the limit",
        ),
        pytest.param(
            lambda: request(program(inputs=[])), "programs[0].inputs", ["empty text"], id="no input"
        ),
        pytest.param(
            lambda: request(program(name="a"), program(name="a")),
            "programs",
            ["program_id"],
            id="an id given twice",
        ),
        pytest.param(
            lambda: request(program(name="é" * 65)),
            "programs[0].program_id",
            ["128 bytes", "130"],
            id="a long id",
        ),
        pytest.param(
            lambda: request(program(), cpu_time=Duration(seconds=-1)),
            "limits.cpu_time",
            ["0.05", "60", "-1"],
            id="negative processor time",
        ),
        pytest.param(
            lambda: request(program(), cpu_time=Duration(seconds=10**9)),
            "limits.cpu_time",
            ["0.05", "60", "1000000000"],
            id="thirty years",
        ),
        pytest.param(
            lambda: request(program(), cpu_time=Duration(nanos=1_000_000)),
            "limits.cpu_time",
            ["0.05", "60", "0.001"],
            id="a millisecond",
        ),
        pytest.param(
            lambda: request(program(), wall_time=Duration(seconds=-5)),
            "limits.wall_time",
            ["0.05", "300", "-5"],
            id="negative wall time",
        ),
        pytest.param(
            lambda: request(program(), memory_mib=-1),
            "limits.memory_mib",
            ["64", "4096", "-1"],
            id="negative memory",
        ),
        pytest.param(
            lambda: request(program(), memory_mib=2**31 - 1),
            "limits.memory_mib",
            ["64", "4096", "2147483647"],
            id="all the memory there is",
        ),
        pytest.param(
            lambda: request(program(), stdout_bytes=-1),
            "limits.stdout_bytes",
            ["between 0", "-1"],
            id="negative output",
        ),
        pytest.param(
            lambda: request(program(), value_bytes=-(2**31)),
            "limits.value_bytes",
            ["between 1", "-2147483648"],
            id="negative value",
        ),
    ],
)
async def test_what_is_out_of_bounds_is_refused_by_name(
    address: str,
    mode: Mapping[str, Any],
    stub: Any,
    asked: Callable[[], pb.ExecuteRequest],
    field: str,
    words: list[str],
) -> None:
    async with undisturbed(address, mode):
        error = await failure_of(stub.Execute(asked(), timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError)
    problem = next(v.problem for v in error.violations if v.field == field)
    assert f"{field}: {problem}" in str(error)
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("source", "text", "status", "type_names"),
    [
        pytest.param("", "", RunStatus.ERROR, ["NameError"], id="no source"),
        pytest.param(" \n\t\f\n", "", RunStatus.ERROR, ["NameError"], id="blank source"),
        pytest.param(
            f"{ONE}\0", "", RunStatus.ERROR, ["SyntaxError", "ValueError"], id="NUL in the source"
        ),
        pytest.param("\0" * 65_536, "", RunStatus.ERROR, ["SyntaxError", "ValueError"], id="NULs"),
        pytest.param(ONE, "\0", RunStatus.ERROR, ["LiteralError"], id="NUL as input"),
        pytest.param(ONE, "'\0'", RunStatus.ERROR, ["LiteralError"], id="NUL in an input"),
        pytest.param(ONE, "1\n)\n", RunStatus.ERROR, ["LiteralError"], id="end of the call"),
        pytest.param(ONE, "[" * 65_536, RunStatus.ERROR, ["LiteralError"], id="65,536 brackets"),
        pytest.param(ONE, "'" + "x" * 65_534 + "'", RunStatus.OK, ["int"], id="longest input"),
        pytest.param(ONE, "'\\ud800'", RunStatus.OK, ["int"], id="an escaped surrogate"),
        pytest.param("def f(): return '\\ud800'", "", RunStatus.OK, ["str"], id="a surrogate back"),
        pytest.param(f"\ufeff{ONE}", "", RunStatus.ERROR, ["SyntaxError"], id="byte order mark"),
        pytest.param(
            f"# coding: no-such\n{ONE}", "", RunStatus.OK, ["int"], id="an encoding of its own"
        ),
        pytest.param(f"{ONE}\r\n# é\u2028", "", RunStatus.OK, ["int"], id="odd line ends"),
        pytest.param("#" * 65_536, "", RunStatus.ERROR, ["NameError"], id="longest source"),
        pytest.param("(" * 65_536, "", RunStatus.ERROR, [], id="65,536 brackets as source"),
        pytest.param("f=" + "-" * 65_000 + "1", "", None, [], id="65,000 signs as source"),
        pytest.param("\n".join(["if 1:"] * 9000), "", RunStatus.ERROR, [], id="9,000 blocks"),
    ],
)
async def test_bad_text_is_a_result_and_no_error(
    address: str,
    mode: Mapping[str, Any],
    stub: Any,
    source: str,
    text: str,
    status: RunStatus | None,
    type_names: list[str],
) -> None:
    async with undisturbed(address, mode), open_channel(address) as channel:
        execute = ExecutionClient(channel).execute
        [result] = [one async for one in execute([Program(source, (text,))], PATIENT, **mode)]

    # 65,000 operators may be too much for the compiler's stack: an end of the program's own.
    allowed = {status} if status else {RunStatus.ERROR, RunStatus.CRASH, RunStatus.OOM}
    assert result.status in allowed, result
    assert not type_names or result.type_name in type_names


async def test_nothing_asked_is_nothing_answered(stub: Any) -> None:
    assert [r async for r in stub.Execute(pb.ExecuteRequest(), timeout=DEADLINE_S)] == []
    assert [r async for r in stub.ExecuteStream(iter([]), timeout=DEADLINE_S)] == []


async def test_a_stream_that_is_closed_early_still_gets_its_answers(
    address: str, mode: Mapping[str, Any], stub: Any
) -> None:
    async with undisturbed(address, mode):
        call = stub.ExecuteStream(timeout=DEADLINE_S)
        for name in "ab":
            await call.write(pb.ExecuteStreamRequest(program=program(name=name)))
        await call.done_writing()
        found = sorted([reply.result.program_id async for reply in call])

    assert found == ["a", "b"]


async def test_a_bad_program_ends_its_stream_alone(
    address: str, mode: Mapping[str, Any], stub: Any
) -> None:
    bad = [program(), program("#" * 65_537), program()]
    async with undisturbed(address, mode):
        requests = [pb.ExecuteStreamRequest(program=one) for one in bad]
        error = await failure_of(stub.ExecuteStream(iter(requests), timeout=DEADLINE_S))

    assert isinstance(error, InvalidRequestError)
    assert "source: at most 65536 bytes, got 65537" in str(error)


@pytest.mark.parametrize("end", ["cancels", "disconnects", "passes its deadline"])
async def test_a_caller_that_goes_leaves_no_work(
    backend: Backend, address: str, mode: Mapping[str, Any], end: str
) -> None:
    asked = request(*[program(LOOP)] * 4, cpu_time=Duration(seconds=30))
    channel = open_channel(address)
    async with undisturbed(address, mode):
        timeout_s = 0.5 if "deadline" in end else DEADLINE_S
        call = stubs.ExecutionServiceStub(channel).Execute(asked, timeout=timeout_s)
        reader = asyncio.create_task(call.read())
        await asyncio.sleep(0.5)
        if end == "cancels":
            call.cancel()
        elif end == "disconnects":
            await channel.close()
        await asyncio.gather(reader, return_exceptions=True)

    await until(lambda: backend.pool.pending == 0)
    assert not any(sandbox.in_flight for sandbox in backend.pool.fleet.working)
    await channel.close()


async def test_a_caller_that_goes_in_the_middle_of_a_stream_leaves_no_work(
    backend: Backend, address: str, mode: Mapping[str, Any]
) -> None:
    channel = open_channel(address)
    async with undisturbed(address, mode):
        call = stubs.ExecutionServiceStub(channel).ExecuteStream(timeout=DEADLINE_S)
        await call.write(pb.ExecuteStreamRequest(program=program(name="first")))
        await call.read()
        limits = pb.Limits(cpu_time=Duration(seconds=30))
        await call.write(pb.ExecuteStreamRequest(program=program(LOOP), limits=limits))
        await until(lambda: backend.pool.pending >= 1)
        await channel.close()

    await until(lambda: backend.pool.pending == 0)


async def test_a_caller_that_stops_reading_hinders_nobody(
    backend: Backend, address: str, mode: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CALL_RUNS_MAX", 32)  # so many need not be run to be waited for
    asked = request(*[program(SPAM, list(map(str, range(64))))] * 8)
    async with open_channel(address) as channel:
        call = stubs.ExecutionServiceStub(channel).Execute(asked, timeout=10 * DEADLINE_S)
        await call.read()
        async with undisturbed(address, mode):
            waiting = await settled(lambda: backend.pool.pending)
        call.cancel()

    assert waiting > 8 * 64 // 2, "it is served although it does not read"
    await until(lambda: backend.pool.pending == 0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.02)


async def settled(number: Callable[[], int]) -> int:
    """The number, once it falls no more."""
    least, since = number(), 0
    async with asyncio.timeout(DEADLINE_S):
        while since < 50:
            await asyncio.sleep(0.02)
            since = 0 if number() < least else since + 1
            least = min(least, number())
    return least
