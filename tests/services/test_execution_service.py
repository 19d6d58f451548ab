"""The Execution service over a real wire; only the runner behind it is a fake."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services._server.settings import ServiceSettings
from services._server.transport import access, listen
from services.execution import metered
from services.execution.metered import MeteredRunner
from services.execution.servicer import ExecutionServicer
from tests.cluster.certificates import make_authority
from zeroloop.client import _execution_wire as wire
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import (
    Capabilities,
    Determinism,
    Isolation,
    Limits,
    Program,
    Result,
)
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import AuthError, InvalidRequestError, OverloadedError, UnavailableError
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc

TOKEN = "right"
DEFAULTS = Limits(cpu_time_s=2.0, wall_time_s=9.0, memory_mib=300, stdout_bytes=7, value_bytes=8)
CAPABILITIES = Capabilities(
    isolation=Isolation.GVISOR,
    platform="systrap",
    runtime_version="1",
    python_version="3.11.7",
    image_digest="sha256:0",
    modes=("strict",),
    default_limits=DEFAULTS,
    workers=4,
    queue_runs_max=100,
)
DONE = Result(
    program_id="p",
    input_index=3,
    status=RunStatus.OK,
    value="{1, 'é'}",
    type_name="set",
    message="m",
    detail="d",
    stdout=b"\xff\x00",
    stdout_truncated=True,
    cpu_time_s=0.25,
    wall_time_s=0.5,
    peak_memory_bytes=1 << 33,
    determinism=Determinism.NO,
    isolation=Isolation.UNSAFE,
    image_digest="sha256:0",
    cached=True,
)


class FakeRunner:
    """Gives `results`, then raises what it is told to or hangs; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Program, Limits]] = []
        self.tenants: list[str] = []
        self.results = [DONE]
        self.error: Exception | None = None
        self.hangs = False
        self.left = asyncio.Event()

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        self.calls += [(program, limits) for program in programs]
        self.tenants.append(tenant)
        try:
            if self.results:
                yield self.results
            if self.error is not None:
                raise self.error
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.left.set()

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        async for program, limits, _ in programs:
            async with aclosing(self.execute([program], limits, tenant=tenant)) as results:
                async for ready in results:
                    yield ready


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@asynccontextmanager
async def serving(runner: FakeRunner, settings: ServiceSettings) -> AsyncGenerator[str]:
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(SharedToken(TOKEN)), ErrorInterceptor()]
    )
    servicer = ExecutionServicer(MeteredRunner(runner, Isolation.GVISOR), CAPABILITIES)
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(servicer, server)
    address = listen(server, settings)
    await server.start()
    yield address
    await server.stop(grace=None)


@pytest.fixture
async def address(runner: FakeRunner) -> AsyncIterator[str]:
    async with serving(runner, ServiceSettings()) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[ExecutionClient]:
    async with open_channel(address, token=TOKEN) as channel:
        yield ExecutionClient(channel)


async def test_programs_and_results_survive_the_round_trip(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    program = Program("def f(x): return x", ("1", "'é'"), "id", check_determinism=True)
    limits = Limits(cpu_time_s=1.5, wall_time_s=4, memory_mib=64, stdout_bytes=0, value_bytes=10)

    results = [result async for result in client.execute([program], limits)]

    assert results == [DONE]
    assert runner.calls == [(program, limits)]


async def test_whose_certificate_a_caller_shows_is_the_tenant(
    runner: FakeRunner, tmp_path: Path
) -> None:
    program = Program("def f(): return 1")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    authority = make_authority(tmp_path)
    for name in ("service", "one", "another"):
        authority.issue(tmp_path, name, name, names=[f"*.{name}.svc"])

    def files(name: str) -> dict[str, Path]:
        ends = {"ca": "ca.crt", "cert": f"{name}.crt", "key": f"{name}.key"}
        return {f"tls_{kind}_file": tmp_path / end for kind, end in ends.items()}

    async def programs() -> AsyncIterator[Program]:
        yield program

    async def call(address: str, name: str) -> None:
        shown = access(ServiceSettings(**files(name), token_file=token)).by_address(
            "execution.service.svc"
        )
        async with shown.channel(address) as channel:
            client = ExecutionClient(channel)
            _ = [result async for result in client.execute([program], Limits())]
            _ = [result async for result in client.execute_stream(programs(), Limits())]

    settings = ServiceSettings(**files("service"), tls_require_client=True)
    async with serving(runner, settings) as address:
        await asyncio.gather(*(call(address, name) for name in ("one", "another")))

    names = [f"*.{name}.svc {name}" for name in ("another", "one")]
    assert sorted(runner.tenants) == sorted(names * 2)


@pytest.mark.parametrize("status", RunStatus)
async def test_every_status_survives(
    client: ExecutionClient, runner: FakeRunner, status: RunStatus
) -> None:
    runner.results = [Result(program_id="", input_index=0, status=status)]

    [result] = [result async for result in client.execute([Program("")])]

    assert result == runner.results[0]


@pytest.mark.parametrize(
    ("asked_for", "sizes"), [(0, [1] * 7), (1, [1] * 7), (3, [3, 3, 1]), (64, [7])]
)
async def test_a_message_has_as_many_results_as_were_asked_for(
    address: str, runner: FakeRunner, asked_for: int, sizes: list[int]
) -> None:
    runner.results = [replace(DONE, program_id=str(number)) for number in range(7)]
    request = pb.ExecuteRequest(programs=[pb.Program()], results_per_message_max=asked_for)

    async with open_channel(address, token=TOKEN) as channel:
        call = execution_pb2_grpc.ExecutionServiceStub(channel).Execute(request, timeout=5)
        messages = [message async for message in call]

    results = [list(m.results) or [m.result] for m in messages]
    assert [len(some) for some in results] == sizes
    assert [result.program_id for some in results for result in some] == list("0123456")


async def test_what_is_done_before_an_error_comes_before_it(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    runner.error = UnavailableError("no sandbox works")
    results = client.execute([Program("")])

    assert await anext(results) == DONE
    with pytest.raises(UnavailableError, match="no sandbox works"):
        await anext(results)


async def test_no_limits_are_those_of_the_service(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    _ = [result async for result in client.execute([Program("")])]

    assert runner.calls[0][1] == DEFAULTS


def test_unset_fields_of_limits_take_the_defaults_but_wall_time_follows_the_processors() -> None:
    message = wire.limits_to_pb(Limits(cpu_time_s=0.5))

    assert wire.limits_from_pb(message, DEFAULTS).wall_s == 4 * 0.5 + 2
    assert wire.limits_from_pb(pb.Limits(memory_mib=64), DEFAULTS) == Limits(
        cpu_time_s=2.0, wall_time_s=9.0, memory_mib=64, stdout_bytes=7, value_bytes=8
    )


def test_a_status_of_a_newer_service_is_no_verdict() -> None:
    unknown = wire.result_from_pb(pb.Result(status=99, isolation=99))

    assert unknown.status is RunStatus.NOT_EXECUTED
    assert unknown.isolation is Isolation.UNSAFE


async def test_capabilities_survive(client: ExecutionClient) -> None:
    assert await client.get_capabilities() == CAPABILITIES


async def test_a_stream_answers_while_it_is_written(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    answered = asyncio.Event()

    async def programs() -> AsyncIterator[Program]:
        yield Program("first")
        await answered.wait()
        yield Program("second")

    results: list[Result] = []
    async for result in client.execute_stream(programs(), DEFAULTS):
        results.append(result)
        answered.set()

    assert results == [DONE, DONE]
    assert [program.source for program, _ in runner.calls] == ["first", "second"]


@pytest.mark.parametrize("before", [0, 1])
async def test_an_error_of_who_writes_a_stream_is_raised_as_it_is(
    client: ExecutionClient, before: int
) -> None:
    async def programs() -> AsyncIterator[Program]:
        for number in range(before):
            yield Program("", program_id=str(number))
        raise ValueError("no more programs")

    with pytest.raises(ValueError, match="no more programs"):
        _ = [result async for result in client.execute_stream(programs())]


async def test_overload_says_when_to_come_back(client: ExecutionClient, runner: FakeRunner) -> None:
    runner.results, runner.error = [], OverloadedError("full", retry_after_s=2.5)

    with pytest.raises(OverloadedError, match="full") as caught:
        _ = [result async for result in client.execute([Program("")])]

    assert caught.value.retry_after_s == 2.5


async def test_what_does_not_fit_a_message_is_no_overload(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    """Each part is within its limit, all together are not: trying again would not help."""
    programs = [Program("#" * 60_000, ("'" + "x" * 60_000 + "'",) * 64) for _ in range(32)]

    with pytest.raises(InvalidRequestError, match="may have 67,108,864; send less in one call"):
        await anext(client.execute(programs))

    assert not runner.calls


async def test_a_caller_that_leaves_ends_the_work(
    client: ExecutionClient, runner: FakeRunner
) -> None:
    runner.hangs = True
    async with aclosing(client.execute([Program("")])) as results:
        assert await anext(results) == DONE

    async with asyncio.timeout(5):
        await runner.left.wait()


async def test_a_passed_deadline_ends_the_work(client: ExecutionClient, runner: FakeRunner) -> None:
    runner.hangs = True

    with pytest.raises(UnavailableError):
        _ = [result async for result in client.execute([Program("")], deadline_s=0.2)]

    async with asyncio.timeout(5):
        await runner.left.wait()


async def test_a_wrong_token_runs_nothing(address: str, runner: FakeRunner) -> None:
    async with open_channel(address, token="wrong") as channel:
        with pytest.raises(AuthError):
            _ = [result async for result in ExecutionClient(channel).execute([Program("")])]

    assert runner.calls == []


async def test_a_call_is_a_span_that_names_its_isolation(
    client: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(metered, "tracer", trace.get_tracer("test", tracer_provider=provider))

    _ = [result async for result in client.execute([Program("")])]

    [span] = exporter.get_finished_spans()
    assert span.name == "execute_tool code_executor"
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "code_executor",
        "zeroloop.exec.programs": 1,
        "zeroloop.exec.runtime": "runsc",
        "zeroloop.exec.status": ("ok",),
    }
