"""gRPC to values and back; decides nothing."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import grpc.aio

from services.inference.serving import Serving
from zeroloop.client import _inference_wire as wire
from zeroloop.core.generation import AppliedWeights, WeightsState
from zeroloop.inference.v1 import inference_pb2 as pb
from zeroloop.inference.v1 import inference_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]

INFERENCE_SERVICE = "zeroloop.inference.v1.InferenceService"
WEIGHTS_SERVICE = "zeroloop.inference.v1.WeightsService"


class Weights(Protocol):
    """Changes of the weights as the servicer sees them."""

    async def stage(self, version: int, uri: str, manifest_digest: str) -> int: ...
    async def apply(self, version: int, parity_max: float) -> AppliedWeights: ...
    async def rollback(self) -> int: ...
    async def sleep(self) -> float: ...
    async def wake(self) -> float: ...
    def state(self) -> WeightsState: ...


class InferenceServicer(stubs.InferenceServiceServicer):
    """Serves `InferenceService` from any `Serving`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncGenerator[pb.GenerateResponse]:
        prompts = wire.prompts_from_pb(request.prompts)
        sampling = wire.sampling_from_pb(request.sampling)
        completions = self._serving.generate(prompts, sampling, request.min_weights_version)
        async with aclosing(completions):
            async for completion in completions:
                yield pb.GenerateResponse(completion=wire.completion_to_pb(completion))

    async def Score(
        self, request: pb.ScoreRequest, context: Context
    ) -> AsyncGenerator[pb.ScoreResponse]:
        scores = self._serving.score(wire.sequences_from_pb(request.sequences))
        async with aclosing(scores):
            async for score in scores:
                yield wire.score_to_pb(score)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        return wire.model_to_pb(self._serving.model())


class WeightsServicer(stubs.WeightsServiceServicer):
    """Serves `WeightsService` from any `Weights`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    async def Stage(self, request: pb.StageRequest, context: Context) -> pb.StageResponse:
        verified = await self._weights.stage(
            request.weights_version, request.uri, request.manifest_digest
        )
        return pb.StageResponse(bytes=verified)

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        applied = await self._weights.apply(request.weights_version, request.parity_max)
        return pb.ApplyResponse(
            weights_version=applied.weights_version,
            parity=applied.parity,
            paused_s=applied.paused_s,
        )

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        return pb.RollbackResponse(weights_version=await self._weights.rollback())

    async def Sleep(self, request: pb.SleepRequest, context: Context) -> pb.SleepResponse:
        return pb.SleepResponse(duration_s=await self._weights.sleep())

    async def Wake(self, request: pb.WakeRequest, context: Context) -> pb.WakeResponse:
        return pb.WakeResponse(duration_s=await self._weights.wake())

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        state = self._weights.state()
        return pb.GetResponse(
            weights_version=state.weights_version,
            staged_versions=state.staged_versions,
            previous_version=state.previous_version,
            asleep=state.asleep,
        )
