"""The Execution service without sandboxes: `python -m tests.bench.executing.echo`.

Same wire, same measuring, same servicer; the runner answers at once. What is left is what gRPC
costs.
"""

import ast
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc.aio

from services._server import Health, ServiceSettings, run_service
from services.execution.application import SERVICE
from services.execution.metered import MeteredRunner
from services.execution.servicer import ExecutionServicer
from zeroloop.core.execution import Capabilities, Isolation, Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.execution.v1 import execution_pb2_grpc

CAPABILITIES = Capabilities(
    isolation=Isolation.UNSAFE,
    platform="",
    runtime_version="",
    python_version="",
    image_digest="",
    modes=("strict",),
    default_limits=Limits(),
    workers=1,
    queue_runs_max=64,
)


class EchoRunner:
    """Knows the one program and works it out itself."""

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        yield [_result(index, program) for index, program in enumerate(programs)]

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        async for program, _, _ in programs:
            yield [_result(0, program)]


def _result(index: int, program: Program) -> Result:
    numbers, count = ast.literal_eval(program.inputs[0])
    return Result(
        program_id=program.program_id or str(index),
        input_index=0,
        status=RunStatus.OK,
        value=repr(sorted(numbers)[:count]),
        type_name="list",
        isolation=Isolation.UNSAFE,
    )


@asynccontextmanager
async def application(
    settings: ServiceSettings, server: grpc.aio.Server, health: Health
) -> AsyncGenerator[None]:
    """Serve until the block ends."""
    servicer = ExecutionServicer(MeteredRunner(EchoRunner(), Isolation.UNSAFE), CAPABILITIES)
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(servicer, server)
    await health.serving(SERVICE)
    yield


if __name__ == "__main__":
    raise SystemExit(run_service("execution", ServiceSettings, application))
