"""Typed clients of the Inference service: generate, score, and steer its weights."""

from collections.abc import AsyncGenerator, Sequence

import grpc.aio

from zeroloop.client import _inference_wire as wire
from zeroloop.client._streams import read_all
from zeroloop.client.channel import DEADLINE_S, STREAM_DEADLINE_S, translate_errors
from zeroloop.core.generation import (
    AppliedWeights,
    Completion,
    FinishReason,
    Model,
    Prompt,
    Sampling,
    Score,
    ScoredTokens,
    WeightsSpan,
    WeightsState,
)
from zeroloop.inference.v1 import inference_pb2 as pb
from zeroloop.inference.v1 import inference_pb2_grpc as stubs

__all__ = [
    "AppliedWeights",
    "Completion",
    "FinishReason",
    "InferenceClient",
    "Model",
    "Prompt",
    "Sampling",
    "Score",
    "ScoredTokens",
    "WeightsControlClient",
    "WeightsSpan",
    "WeightsState",
]

APPLY_DEADLINE_S = 600.0
"""Deadline of a change of weights: running calls end first, and large weights load slowly."""


class InferenceClient:
    """Calls `InferenceService` on an open channel.

    Every method may be repeated. Besides what its docstring names, each raises
    `UnavailableError` while the engine loads, restarts or is dead.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = stubs.InferenceServiceStub(channel)

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        min_weights_version: int = 0,
        deadline_s: float = STREAM_DEADLINE_S,
    ) -> AsyncGenerator[Completion]:
        """Iterate over `sampling.n` completions of each prompt as they finish, in any order.

        Closing the generator stops the generation.

        Args:
            prompts: At most 4096.
            sampling: How completions are drawn.
            min_weights_version: Refuse unless the version served is at least this.
            deadline_s: For the whole call, queueing included.

        Raises:
            InvalidRequestError: A value is out of range, or a prompt does not fit the
                context; names it.
            FailedPreconditionError: The version served is older than `min_weights_version`.
            OverloadedError: Too many calls are open; retry after a back-off.
        """
        request = wire.generate_request_to_pb(prompts, sampling, min_weights_version)
        return read_all(lambda: self._stub.Generate(request, timeout=deadline_s), _completion)

    def score(
        self, sequences: Sequence[ScoredTokens], *, deadline_s: float = STREAM_DEADLINE_S
    ) -> AsyncGenerator[Score]:
        """Iterate over the log-probabilities of the sequences under the weights served.

        They come in any order.

        Args:
            sequences: At most 1024.
            deadline_s: For the whole call, queueing included.

        Raises:
            InvalidRequestError: A sequence does not fit the context, or has nothing to score.
        """
        request = wire.score_request_to_pb(sequences)
        return read_all(lambda: self._stub.Score(request, timeout=deadline_s), wire.score_from_pb)

    async def get_model(self, *, deadline_s: float = DEADLINE_S) -> Model:
        """Return what is served."""
        with translate_errors():
            reply = await self._stub.GetModel(pb.GetModelRequest(), timeout=deadline_s)
        return wire.model_from_pb(reply)


class WeightsControlClient:
    """Calls `WeightsService`: which weights a server uses. Every call may be repeated."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = stubs.WeightsServiceStub(channel)

    async def stage(
        self,
        weights_version: int,
        uri: str,
        manifest_digest: str,
        *,
        deadline_s: float = APPLY_DEADLINE_S,
    ) -> int:
        """Verify a version's files against its manifest; return how many bytes that were.

        Raises:
            NotFoundError: The folder or its manifest is missing.
            CorruptDataError: A file differs from the manifest; names it.
        """
        request = pb.StageRequest(
            weights_version=weights_version, uri=uri, manifest_digest=manifest_digest
        )
        with translate_errors():
            reply = await self._stub.Stage(request, timeout=deadline_s)
        return reply.bytes

    async def apply(
        self,
        weights_version: int,
        *,
        parity_max: float = 0.0,
        deadline_s: float = APPLY_DEADLINE_S,
    ) -> AppliedWeights:
        """Serve a staged version; if anything fails the previous one is served again.

        Args:
            weights_version: What to serve.
            parity_max: Largest tolerated difference from the trainer's log-probabilities on
                the version's probe, nats; 0 takes the service's default.
            deadline_s: Waiting for running calls included.

        Raises:
            FailedPreconditionError: The version is not staged, or parity is over the limit.
            CorruptDataError: Its files changed since they were staged.
        """
        request = pb.ApplyRequest(weights_version=weights_version, parity_max=parity_max)
        with translate_errors():
            reply = await self._stub.Apply(request, timeout=deadline_s)
        return AppliedWeights(
            weights_version=reply.weights_version, parity=reply.parity, paused_s=reply.paused_s
        )

    async def rollback(self, *, deadline_s: float = APPLY_DEADLINE_S) -> int:
        """Serve the version from before the last `apply`; return it.

        Raises:
            FailedPreconditionError: There is none.
        """
        with translate_errors():
            reply = await self._stub.Rollback(pb.RollbackRequest(), timeout=deadline_s)
        return reply.weights_version

    async def sleep(self, *, deadline_s: float = APPLY_DEADLINE_S) -> float:
        """Let go of the device, running calls first; return the seconds that it took.

        Raises:
            FailedPreconditionError: The service was started without `sleep_mode`.
        """
        with translate_errors():
            reply = await self._stub.Sleep(pb.SleepRequest(), timeout=deadline_s)
        return reply.duration_s

    async def wake(self, *, deadline_s: float = APPLY_DEADLINE_S) -> float:
        """Take the device again; return the seconds that it took."""
        with translate_errors():
            reply = await self._stub.Wake(pb.WakeRequest(), timeout=deadline_s)
        return reply.duration_s

    async def get(self, *, deadline_s: float = DEADLINE_S) -> WeightsState:
        """Return what is served and what could be."""
        with translate_errors():
            reply = await self._stub.Get(pb.GetRequest(), timeout=deadline_s)
        return WeightsState(
            weights_version=reply.weights_version,
            staged_versions=tuple(reply.staged_versions),
            previous_version=reply.previous_version if reply.HasField("previous_version") else None,
            asleep=reply.asleep,
        )


def _completion(message: pb.GenerateResponse) -> Completion:
    return wire.completion_from_pb(message.completion)
