"""The gRPC face: translates, decides nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias

import grpc.aio

from services.execution.requests import check_results_per_message
from zeroloop.client import _execution_wire as wire
from zeroloop.core.execution import Capabilities, Limits, Program, Result
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc as stubs

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_CERTIFIED = ("x509_common_name", "x509_subject_alternative_name")


class Runner(Protocol):
    """Runs programs: a `Pool`, one that measures another, or a fake."""

    def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """Run every program on each of its inputs; yield results as they finish."""
        ...

    def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """The same for programs that trickle in, each with its mode."""
        ...


def tenant_of(context: Context) -> str:
    """The names in the caller's certificate; without one the caller is nobody in particular."""
    shown = context.auth_context()
    names = [name for kind in _CERTIFIED for name in shown.get(kind, ())]
    return " ".join(sorted(name.decode(errors="replace") for name in names))


def _messages(results: list[Result], results_max: int) -> Iterator[pb.ExecuteResponse]:
    """Callers that have not asked for several results in a message read another field."""
    if results_max <= 1:
        for result in results:
            yield pb.ExecuteResponse(result=wire.result_to_pb(result))
        return
    for start in range(0, len(results), results_max):
        some = results[start : start + results_max]
        yield pb.ExecuteResponse(results=map(wire.result_to_pb, some))


class ExecutionServicer(stubs.ExecutionServiceServicer):
    """Serves `ExecutionService` from any `Runner`."""

    def __init__(self, runner: Runner, capabilities: Capabilities) -> None:
        self._runner = runner
        self._capabilities = capabilities

    async def Execute(
        self, request: pb.ExecuteRequest, context: Context
    ) -> AsyncIterator[pb.ExecuteResponse]:
        programs = [wire.program_from_pb(program) for program in request.programs]
        limits = wire.limits_from_pb(request.limits, self._capabilities.default_limits)
        most = check_results_per_message(request.results_per_message_max)
        running = self._runner.execute(programs, limits, request.mode, tenant_of(context))
        async with aclosing(running) as results:
            async for ready in results:
                for message in _messages(ready, most):
                    yield message

    async def ExecuteStream(
        self, request_iterator: AsyncIterator[pb.ExecuteStreamRequest], context: Context
    ) -> AsyncIterator[pb.ExecuteStreamResponse]:
        async def programs() -> AsyncIterator[tuple[Program, Limits, str]]:
            async for request in request_iterator:
                limits = wire.limits_from_pb(request.limits, self._capabilities.default_limits)
                yield wire.program_from_pb(request.program), limits, request.mode

        async with aclosing(self._runner.stream(programs(), tenant_of(context))) as results:
            async for ready in results:
                for result in ready:
                    yield pb.ExecuteStreamResponse(result=wire.result_to_pb(result))

    async def GetCapabilities(
        self, request: pb.GetCapabilitiesRequest, context: Context
    ) -> pb.GetCapabilitiesResponse:
        return wire.capabilities_to_pb(self._capabilities)
