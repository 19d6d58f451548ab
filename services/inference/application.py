"""Wiring: settings to a keeper, a gate and two servicers."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio

from services._server import Health
from services.inference.config import InferenceSettings
from services.inference.engine.base import Engine
from services.inference.gate import Gate
from services.inference.keeper import EngineKeeper, Launch, Served
from services.inference.metered import MeteredServing, MeteredWeights
from services.inference.model_folder import check, check_fit, configuration, locate
from services.inference.servicer import (
    INFERENCE_SERVICE,
    WEIGHTS_SERVICE,
    InferenceServicer,
    WeightsServicer,
)
from services.inference.serving import EngineServing
from services.inference.weights import WeightsRoll
from services.inference.weights_cache import WeightsCache, weights_cache
from zeroloop.errors import (
    ConfigError,
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
)
from zeroloop.inference.v1 import inference_pb2_grpc as stubs
from zeroloop.weights_store import is_url, read_pointer

CONTEXT_TOKENS = 32_768
"""Of a simulated model that does not say."""


@asynccontextmanager
async def inference(
    settings: InferenceSettings,
    server: grpc.aio.Server,
    health: Health,
    environ: MutableMapping[str, str],
) -> AsyncGenerator[None]:
    """Serve while the block lasts; the engine loads meanwhile.

    Raises:
        ConfigError: The model or the weights to start from are missing or damaged.
        UnavailableError: The store of the weights to start from does not answer.
        EngineLostError: The engine died too often; raised out of the block.
    """
    with weights_cache(settings.weights_cache) as cache:
        async with _serving(settings, server, health, environ, cache):
            yield


@asynccontextmanager
async def _serving(
    settings: InferenceSettings,
    server: grpc.aio.Server,
    health: Health,
    environ: MutableMapping[str, str],
    cache: WeightsCache,
) -> AsyncGenerator[None]:
    keeper = EngineKeeper(
        launcher(settings, environ),
        await asyncio.to_thread(first_weights, settings, cache),
        announce=health,
        names=(INFERENCE_SERVICE, WEIGHTS_SERVICE),
        restarts_max=settings.restarts_max,
        restart_window_s=settings.restart_window_s,
    )
    gate = Gate(settings.calls_max)
    serving = MeteredServing(
        EngineServing(settings.model, keeper, gate), model=settings.model, engine=settings.engine
    )
    roll = WeightsRoll(
        keeper,
        gate,
        cache=cache,
        parity_max=settings.parity_max,
        may_sleep=settings.sleep_mode,
        check_fit=check_fit if settings.engine == "vllm" else _anything_fits,
    )
    weights = MeteredWeights(roll)
    stubs.add_InferenceServiceServicer_to_server(InferenceServicer(serving), server)
    stubs.add_WeightsServiceServicer_to_server(WeightsServicer(weights), server)
    await health.not_serving(INFERENCE_SERVICE, WEIGHTS_SERVICE)
    try:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(keeper.run())
            yield
            keeping.cancel()
    except BaseExceptionGroup as failures:
        # One task, so one failure.
        raise failures.exceptions[0] from None


def launcher(settings: InferenceSettings, environ: MutableMapping[str, str]) -> Launch:
    """Return what starts an engine of the kind that the settings ask for."""
    if settings.engine == "simulated":
        return _simulated(settings)

    async def launch(weights: Served) -> Engine:
        from services.inference.engine.vllm import VllmEngine
        from services.inference.engine.vllm_options import VllmSettings, prepare_environment

        prepare_environment(environ, settings.threads)
        return await VllmEngine.launch(
            weights.folder,
            weights.version,
            VllmSettings(
                dtype=settings.dtype,
                context_tokens=settings.context_tokens,
                sequences_concurrent_max=settings.sequences_concurrent_max,
                tensor_parallel_size=settings.tensor_parallel_size,
                gpu_memory_ratio=settings.gpu_memory_ratio,
                kv_cache_mib=settings.kv_cache_mib,
                sleep_mode=settings.sleep_mode,
                threads=settings.threads,
                metrics=settings.metrics_port is not None,
            ),
        )

    return launch


def _simulated(settings: InferenceSettings) -> Launch:
    from services.inference.engine.simulated import SimulatedEngine, SimulatedSettings
    from services.inference.engine.simulated_tokens import VOCABULARY_TOKENS

    # What it writes is trained on: by the model that it stands in for.
    model = configuration(settings.model)
    vocabulary = model.get("vocab_size", VOCABULARY_TOKENS)
    context = settings.context_tokens or model.get("max_position_embeddings", CONTEXT_TOKENS)

    async def launch(weights: Served) -> Engine:
        return SimulatedEngine(
            SimulatedSettings(
                skill=settings.simulated_skill,
                context_tokens=context,
                vocabulary_tokens=vocabulary,
                response_tokens_min=settings.simulated_tokens_min,
                response_tokens_max=settings.simulated_tokens_max,
                tokens_per_s=settings.simulated_tokens_per_s,
                dies_after=settings.simulated_dies_after,
                sequences_concurrent_max=settings.sequences_concurrent_max,
            ),
            weights.version,
        )

    return launch


def first_weights(settings: InferenceSettings, cache: WeightsCache) -> Served:
    """Return the version to start from, its files verified if it was sealed.

    Raises:
        ConfigError: They are missing, damaged, not to be read, or not the version that was named.
        UnavailableError: Their store does not answer.
    """
    settings = _as_pointed(settings)
    if not settings.weights_uri:
        folder = settings.model if settings.engine == "simulated" else locate(settings.model)
        return Served(settings.weights_version, folder)
    uri = settings.weights_uri
    if is_url(uri) and not settings.weights_digest:
        raise ConfigError(f"weights_digest: must say what the manifest of {uri} has, got none")
    try:
        verified = cache.fetch(uri, settings.weights_digest)
    except (NotFoundError, CorruptDataError, FailedPreconditionError) as error:
        raise ConfigError(f"weights_uri: {error}") from error
    if verified.manifest.version != settings.weights_version:
        raise ConfigError(
            f"weights_uri: {uri} holds version {verified.manifest.version}, but "
            f"weights_version is {settings.weights_version}"
        )
    if settings.engine != "simulated":
        check(verified.folder)
    return Served(settings.weights_version, str(verified.folder), verified.digest)


def _as_pointed(settings: InferenceSettings) -> InferenceSettings:
    """The settings with the version that was rolled out last, if any was."""
    if not settings.weights_pointer:
        return settings
    try:
        served = read_pointer(settings.weights_pointer)
    except (CorruptDataError, FailedPreconditionError) as error:
        raise ConfigError(f"weights_pointer: {error}") from error
    if served is None:
        return settings
    return settings.model_copy(
        update={
            "weights_uri": served.uri,
            "weights_version": served.version,
            "weights_digest": served.manifest_digest,
        }
    )


def _anything_fits(served: str, offered: Path) -> None:
    """The simulated engine has no tensors."""
