"""Spans and metrics around generation and changes of weights; neither side knows the other."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from opentelemetry import metrics, trace

from services._server import instruments, semconv
from services.inference.servicer import Weights
from services.inference.serving import Serving
from zeroloop.core.generation import (
    AppliedWeights,
    Completion,
    Model,
    Prompt,
    Sampling,
    Score,
    ScoredTokens,
    WeightsState,
)

tracer = trace.get_tracer("zeroloop.inference", schema_url=semconv.SCHEMA_URL)
meter = metrics.get_meter("zeroloop.inference", schema_url=semconv.SCHEMA_URL)

apply_duration = instruments.histogram(meter, semconv.METRIC_WEIGHTS_APPLY_DURATION)
weights_version = instruments.gauge(meter, semconv.METRIC_WEIGHTS_VERSION)
tokens = instruments.counter(meter, semconv.METRIC_INFERENCE_TOKENS)

INPUT = {semconv.GEN_AI_TOKEN_TYPE: "input"}
OUTPUT = {semconv.GEN_AI_TOKEN_TYPE: "output"}

OPERATION = "text_completion"


class MeteredServing:
    """A `Serving` that measures another one: a span per call, with its tokens."""

    def __init__(self, serving: Serving, *, model: str, engine: str) -> None:
        self._serving = serving
        self._model = model
        self._engine = engine

    async def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, min_weights_version: int
    ) -> AsyncGenerator[Completion]:
        """Yield what the measured one yields."""
        # Not made current: between two yields a generator runs in its consumer's context.
        with tracer.start_span(semconv.SPAN_GENERATE) as span:
            span.set_attributes(
                {
                    semconv.GEN_AI_OPERATION_NAME: OPERATION,
                    semconv.GEN_AI_PROVIDER_NAME: self._engine,
                    semconv.GEN_AI_REQUEST_MODEL: self._model,
                    semconv.GEN_AI_REQUEST_TEMPERATURE: sampling.temperature,
                    semconv.GEN_AI_REQUEST_TOP_P: sampling.top_p,
                    semconv.GEN_AI_REQUEST_MAX_TOKENS: sampling.max_tokens,
                    semconv.GEN_AI_REQUEST_CHOICE_COUNT: sampling.n,
                    semconv.BATCH_SIZE: len(prompts),
                }
            )
            input_tokens = output_tokens = version = 0
            served = self._serving.generate(prompts, sampling, min_weights_version)
            async with aclosing(served):
                async for completion in served:
                    input_tokens += len(completion.prompt_token_ids)
                    output_tokens += len(completion.token_ids)
                    tokens.add(len(completion.prompt_token_ids), INPUT)
                    tokens.add(len(completion.token_ids), OUTPUT)
                    version = completion.weights_version
                    yield completion
            span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, input_tokens)
            span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, output_tokens)
            span.set_attribute(semconv.WEIGHTS_VERSION, version)

    def score(self, sequences: Sequence[ScoredTokens]) -> AsyncGenerator[Score]:
        """Yield what the measured one yields."""
        return self._serving.score(sequences)

    def model(self) -> Model:
        """What is served."""
        return self._serving.model()


class MeteredWeights:
    """Changes of the weights, each with a span and a duration."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    async def stage(self, version: int, uri: str, manifest_digest: str) -> int:
        """Stage as the measured one does."""
        return await self._weights.stage(version, uri, manifest_digest)

    async def apply(self, version: int, parity_max: float) -> AppliedWeights:
        """Apply as the measured one does."""
        with tracer.start_as_current_span(semconv.SPAN_WEIGHTS_APPLY) as span:
            span.set_attribute(semconv.WEIGHTS_VERSION, version)
            applied = await self._weights.apply(version, parity_max)
            span.set_attribute("zeroloop.weights.parity", applied.parity)
        apply_duration.record(applied.paused_s)
        weights_version.set(applied.weights_version)
        return applied

    async def rollback(self) -> int:
        """Roll back as the measured one does."""
        with tracer.start_as_current_span(semconv.SPAN_WEIGHTS_APPLY) as span:
            version = await self._weights.rollback()
            span.set_attribute(semconv.WEIGHTS_VERSION, version)
        weights_version.set(version)
        return version

    async def sleep(self) -> float:
        """Sleep as the measured one does."""
        with tracer.start_as_current_span(semconv.SPAN_ENGINE_SLEEP):
            return await self._weights.sleep()

    async def wake(self) -> float:
        """Wake as the measured one does."""
        with tracer.start_as_current_span(semconv.SPAN_ENGINE_WAKE):
            return await self._weights.wake()

    def state(self) -> WeightsState:
        """What is served and what could be."""
        state = self._weights.state()
        weights_version.set(state.weights_version)
        return state
