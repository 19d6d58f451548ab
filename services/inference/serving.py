"""What the service does, without gRPC: admission, encoding, fan-out, versions."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol, TypeAlias

from services.inference.engine.base import Engine
from services.inference.gate import Gate
from services.inference.keeper import EngineKeeper
from services.inference.requests import (
    PROMPTS_MAX,
    SEQUENCES_MAX,
    check_count,
    check_prompt,
    check_sampling,
    check_sequence,
)
from services.inference.streaming import as_they_finish
from zeroloop.core.generation import Completion, Model, Prompt, Sampling, Score, ScoredTokens
from zeroloop.errors import FailedPreconditionError, UnavailableError

SCORES_CONCURRENT_MAX = 16
"""Sequences scored at once by a call: each needs logits of all its tokens in memory."""

SEED_MASK = 2**63 - 1
"""Keeps seeds in the range that every engine takes; -1 would mean none to vLLM."""

Job: TypeAlias = Callable[[], Coroutine[Any, Any, Completion]]


class Serving(Protocol):
    """Generation and scoring as the servicer sees them."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, min_weights_version: int
    ) -> AsyncGenerator[Completion]:
        """Yield `sampling.n` completions of each prompt as they finish."""
        ...

    def score(self, sequences: Sequence[ScoredTokens]) -> AsyncGenerator[Score]:
        """Yield the log-probabilities of each sequence as they are there."""
        ...

    def model(self) -> Model:
        """What is served."""
        ...


class EngineServing:
    """Serves from the engine that a keeper holds, between changes of its weights."""

    def __init__(self, model: str, keeper: EngineKeeper, gate: Gate) -> None:
        self._model = model
        self._keeper = keeper
        self._gate = gate

    async def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, min_weights_version: int
    ) -> AsyncGenerator[Completion]:
        """Yield `sampling.n` completions of each prompt as they finish, in any order.

        Raises:
            InvalidRequestError: A value is out of range, or a prompt does not fit.
            FailedPreconditionError: The version served is older than asked for.
            OverloadedError: Too many calls are open.
            UnavailableError: There is no engine, or it died.
        """
        check_count("prompts", len(prompts), PROMPTS_MAX)
        check_sampling(sampling)
        self._keeper.engine()  # Who would wait at the gate for an engine that is dead?
        async with self._gate.passing():
            engine = self._keeper.engine()
            self._require_version(min_weights_version)
            encoded = await _encode(engine, prompts)
            jobs = _jobs(engine, prompts, encoded, sampling)
            window = 2 * engine.info.sequences_concurrent_max
            async with aclosing(as_they_finish(jobs, concurrent_max=window)) as finished:
                async for completion in finished:
                    yield completion

    async def score(self, sequences: Sequence[ScoredTokens]) -> AsyncGenerator[Score]:
        """Yield the log-probabilities of each sequence's tokens after its prompt.

        Raises:
            InvalidRequestError: A sequence does not fit, or has nothing to score.
            OverloadedError: Too many calls are open.
            UnavailableError: There is no engine, or it died.
        """
        check_count("sequences", len(sequences), SEQUENCES_MAX)
        self._keeper.engine()
        async with self._gate.passing():
            engine = self._keeper.engine()
            for index, sequence in enumerate(sequences):
                check_sequence(index, sequence, engine.info)
            version = self._keeper.served.version
            jobs = (
                partial(_score_one, engine, index, sequence, version)
                for index, sequence in enumerate(sequences)
            )
            finishing = as_they_finish(jobs, concurrent_max=SCORES_CONCURRENT_MAX)
            async with aclosing(finishing) as finished:
                async for score in finished:
                    yield score

    def model(self) -> Model:
        """What is served.

        Raises:
            UnavailableError: There is no engine.
        """
        info = self._keeper.loaded().info
        return Model(
            model=self._model,
            tokenizer_digest=info.tokenizer_digest,
            dtype=info.dtype,
            context_tokens=info.context_tokens,
            vocabulary_tokens=info.vocabulary_tokens,
            weights_version=self._keeper.served.version,
            engine=info.engine,
            engine_version=info.engine_version,
            sequences_concurrent_max=info.sequences_concurrent_max,
            eos_token_ids=info.eos_token_ids,
        )

    def _require_version(self, min_weights_version: int) -> None:
        served = self._keeper.served.version
        if served < min_weights_version:
            raise FailedPreconditionError(
                f"weights version {served} is served, the call wants at least "
                f"{min_weights_version}; apply that version first"
            )


async def _encode(engine: Engine, prompts: Sequence[Prompt]) -> list[Sequence[int]]:
    """Return the tokens of each prompt, all of them checked."""
    encoded: list[Sequence[int]] = []
    for index, prompt in enumerate(prompts):
        if prompt.token_ids is None:
            # Not in a thread: a tokenizer may not be used by two at once.
            encoded.append(engine.encode(prompt.text))
            await asyncio.sleep(0)
        else:
            encoded.append(prompt.token_ids)
        check_prompt(index, encoded[index], engine.info)
    return encoded


def _jobs(
    engine: Engine,
    prompts: Sequence[Prompt],
    encoded: Sequence[Sequence[int]],
    sampling: Sampling,
) -> Iterator[Job]:
    for prompt_index, prompt in enumerate(prompts):
        for sample_index in range(sampling.n):
            seed = None if prompt.seed is None else (prompt.seed + sample_index) & SEED_MASK
            token_ids = encoded[prompt_index]
            yield partial(
                _complete_one, engine, prompt_index, sample_index, token_ids, sampling, seed
            )


async def _complete_one(
    engine: Engine,
    prompt_index: int,
    sample_index: int,
    token_ids: Sequence[int],
    sampling: Sampling,
    seed: int | None,
) -> Completion:
    drawn = await engine.draw(token_ids, sampling, seed)
    if not drawn.token_ids:
        # An engine that is going down can end a sample before its first token.
        raise UnavailableError("the engine returned a completion without tokens; retry")
    return Completion(
        prompt_index=prompt_index,
        sample_index=sample_index,
        prompt_token_ids=token_ids if sample_index == 0 else (),
        token_ids=drawn.token_ids,
        text=engine.decode(drawn.token_ids),
        logprobs=drawn.logprobs,
        finish_reason=drawn.finish_reason,
        weights=drawn.weights,
    )


async def _score_one(engine: Engine, index: int, sequence: ScoredTokens, version: int) -> Score:
    logprobs = await engine.score(sequence.token_ids, sequence.prompt_tokens)
    return Score(sequence_index=index, logprobs=logprobs, weights_version=version)
