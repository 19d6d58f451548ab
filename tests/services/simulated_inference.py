"""A real server around the simulated engine, in the test's own process."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services._server.errors import ErrorInterceptor
from services._server.health import Health
from services.inference.engine.simulated import SimulatedEngine, SimulatedSettings
from services.inference.gate import Gate
from services.inference.keeper import EngineKeeper, Served
from services.inference.metered import MeteredServing, MeteredWeights
from services.inference.servicer import (
    INFERENCE_SERVICE,
    WEIGHTS_SERVICE,
    InferenceServicer,
    WeightsServicer,
)
from services.inference.serving import EngineServing
from services.inference.weights import WeightsRoll
from services.inference.weights_cache import WeightsCache
from zeroloop.client.channel import open_channel
from zeroloop.client.inference import (
    Completion,
    InferenceClient,
    Prompt,
    Sampling,
    WeightsControlClient,
)
from zeroloop.inference.v1 import inference_pb2_grpc as stubs

CONTEXT_TOKENS = 200
GREETING = Prompt(text="hello", seed=1)


def echo(prompt: str, skill: float, dice: random.Random) -> str:
    """A policy whose answers are easy to check."""
    return f"{prompt} {dice.randrange(1000)}"


class Service:
    """A server in this process whose engine a test can get at."""

    def __init__(
        self,
        context_tokens: int = CONTEXT_TOKENS,
        *,
        may_sleep: bool = False,
        cache: Path = Path("unused"),
        **settings: float,
    ) -> None:
        self._may_sleep = may_sleep
        self._cache = WeightsCache(cache)
        self.engines: list[SimulatedEngine] = []
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.health = Health()
        self.gate = Gate(calls_max=4)
        self._settings = SimulatedSettings(context_tokens=context_tokens, **settings)
        self.keeper = EngineKeeper(
            self._launch,
            Served(0, "base"),
            announce=self.health,
            names=(INFERENCE_SERVICE, WEIGHTS_SERVICE),
            restarts_max=2,
            restart_window_s=600,
        )

    async def _launch(self, weights: Served) -> SimulatedEngine:
        await self.may_load.wait()
        self.engines.append(SimulatedEngine(self._settings, weights.version, echo))
        return self.engines[-1]

    @property
    def engine(self) -> SimulatedEngine:
        return self.engines[-1]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():  # noqa: ASYNC110  of things that announce nothing
                await asyncio.sleep(0.01)

    async def is_serving(self) -> bool:
        request = health_pb2.HealthCheckRequest(service=INFERENCE_SERVICE)
        reply = await health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=5)
        return reply.status == health_pb2.HealthCheckResponse.SERVING

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Service"]:
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        serving = EngineServing("base", self.keeper, self.gate)
        roll = WeightsRoll(
            self.keeper,
            self.gate,
            cache=self._cache,
            parity_max=1e-3,
            check_fit=lambda *_: None,
            may_sleep=self._may_sleep,
        )
        stubs.add_InferenceServiceServicer_to_server(
            InferenceServicer(MeteredServing(serving, model="base", engine="simulated")), server
        )
        stubs.add_WeightsServiceServicer_to_server(WeightsServicer(MeteredWeights(roll)), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        await self.health.not_serving(INFERENCE_SERVICE, WEIGHTS_SERVICE)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.keeping = asyncio.create_task(self.keeper.run())
        async with open_channel(f"127.0.0.1:{port}") as self.channel:
            self.client = InferenceClient(self.channel)
            self.weights = WeightsControlClient(self.channel)
            yield self
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)
        await server.stop(grace=None)


async def generate(service: Service, *prompts: Prompt, **sampling: object) -> list[Completion]:
    asked = Sampling(**({"max_tokens": 100} | sampling))
    return [c async for c in service.client.generate(prompts, asked, deadline_s=10)]
