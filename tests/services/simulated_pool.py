"""`python -m tests.services.simulated_pool`: an Execution service without sandboxes.

It runs the harmless programs of the simulated engine in its own process, so that a test can
ask for thousands of runs and measure everything else.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc.aio

from services._server import Health, ServiceSettings, run_service
from services.execution.metered import MeteredRunner
from services.execution.servicer import ExecutionServicer
from tests.unit.reward.fakes import FakeExecutor
from zeroloop.core.execution import Capabilities, Isolation, Limits, Program, Result
from zeroloop.execution.v1 import execution_pb2_grpc as stubs

SERVICE = "zeroloop.execution.v1.ExecutionService"


class SimulatedPool:
    """A `Runner`; remembers nothing."""

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        async for result in FakeExecutor().execute(programs, limits):
            yield [result]

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        async for program, limits, _ in programs:
            async for ready in self.execute([program], limits):
                yield ready


@asynccontextmanager
async def application(
    settings: ServiceSettings, server: grpc.aio.Server, health: Health
) -> AsyncGenerator[None]:
    """Serve the pool while the block lasts."""
    del settings
    capabilities = Capabilities(
        isolation=Isolation.UNSAFE,
        platform="",
        runtime_version="0",
        python_version="3.11",
        image_digest="simulated",
        modes=("strict",),
        default_limits=Limits(),
        workers=1,
        queue_runs_max=10_000,
    )
    metered = MeteredRunner(SimulatedPool(), Isolation.UNSAFE)
    servicer = ExecutionServicer(metered, capabilities)
    stubs.add_ExecutionServiceServicer_to_server(servicer, server)
    await health.serving(SERVICE)
    yield


if __name__ == "__main__":
    raise SystemExit(run_service("execution", ServiceSettings, application))
