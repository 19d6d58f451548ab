"""The Inference service over a real wire, with the simulated engine inside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from services.inference.keeper import EngineLostError
from tests.services.simulated_inference import CONTEXT_TOKENS, GREETING, Service, generate
from zeroloop.client.channel import translate_errors
from zeroloop.client.inference import FinishReason, Prompt, Sampling, ScoredTokens
from zeroloop.errors import (
    FailedPreconditionError,
    InvalidRequestError,
    OverloadedError,
    UnavailableError,
)
from zeroloop.inference.v1 import inference_pb2 as pb
from zeroloop.inference.v1 import inference_pb2_grpc as stubs


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service().running() as running:
        await running.until(lambda: bool(running.engines))
        yield running


# ---- generate


async def test_a_completion_survives_the_round_trip(service: Service) -> None:
    (completion,) = await generate(service, GREETING, logprobs=True)

    assert completion.text.startswith("hello ")
    assert bytes(list(completion.token_ids[:-1])).decode() == completion.text
    assert completion.token_ids[-1] == 256
    assert list(completion.prompt_token_ids) == list(b"hello")
    assert completion.finish_reason is FinishReason.STOP
    assert len(completion.logprobs) == len(completion.token_ids)
    assert (completion.weights[0].start, completion.weights[0].end) == (
        0,
        len(completion.token_ids),
    )
    assert completion.weights_version == 0


async def test_every_sample_of_every_prompt_comes_once(service: Service) -> None:
    prompts = [Prompt(text=f"p{index}", seed=index) for index in range(20)]
    completions = await generate(service, *prompts, n=5)
    places = {(c.prompt_index, c.sample_index) for c in completions}
    assert len(completions) == 100
    assert places == {(prompt, sample) for prompt in range(20) for sample in range(5)}
    assert all(bool(c.prompt_token_ids) == (c.sample_index == 0) for c in completions)


async def test_sample_k_draws_from_seed_plus_k(service: Service) -> None:
    together = {
        c.sample_index: c.text for c in await generate(service, Prompt(text="x", seed=40), n=3)
    }
    for k in range(3):
        (alone,) = await generate(service, Prompt(text="x", seed=40 + k))
        assert alone.text == together[k]


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1])
async def test_every_seed_is_reproducible(service: Service, seed: int) -> None:
    first = await generate(service, Prompt(text="x", seed=seed), n=2)
    second = await generate(service, Prompt(text="x", seed=seed), n=2)
    assert sorted(c.text for c in first) == sorted(c.text for c in second)


async def test_tokens_are_used_as_they_are(service: Service) -> None:
    (completion,) = await generate(service, Prompt(token_ids=[104, 105], seed=1))
    assert completion.text.startswith("hi ")


async def test_a_completion_ends_at_the_limit(service: Service) -> None:
    (completion,) = await generate(service, GREETING, max_tokens=3)
    assert (len(completion.token_ids), completion.finish_reason) == (3, FinishReason.LENGTH)


async def test_a_completion_ends_at_the_contexts_end(service: Service) -> None:
    (completion,) = await generate(service, Prompt(text="x" * (CONTEXT_TOKENS - 1)))
    assert (len(completion.token_ids), completion.finish_reason) == (1, FinishReason.LENGTH)


async def test_a_prompt_longer_than_the_context_is_named(service: Service) -> None:
    with pytest.raises(InvalidRequestError, match=r"prompts\[1\].*200 tokens.*context of 200"):
        await generate(service, GREETING, Prompt(text="x" * CONTEXT_TOKENS))


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"max_tokens": 0}, "sampling.max_tokens"),
        ({"n": 65}, "sampling.n"),
        ({"n": -1}, "sampling.n"),
        ({"temperature": 2.1}, "sampling.temperature"),
        ({"temperature": float("nan")}, "sampling.temperature"),
        ({"top_p": 0.0}, "sampling.top_p"),
        ({"top_p": 1.1}, "sampling.top_p"),
        ({"top_k": 0}, "sampling.top_k"),
        ({"top_k": -2}, "sampling.top_k"),
    ],
    ids=str,
)
async def test_a_value_out_of_range_is_named(service: Service, sampling, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await generate(service, GREETING, **sampling)
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_bad_prompts_are_named(service: Service) -> None:
    with pytest.raises(InvalidRequestError, match=r"prompts: must be 1 to 4096, got 0"):
        await generate(service)
    with pytest.raises(InvalidRequestError, match=r"prompts\[0\]: has no tokens"):
        await generate(service, Prompt(text=""))
    with pytest.raises(InvalidRequestError, match=r"prompts\[0\]: has token id 257"):
        await generate(service, Prompt(token_ids=[1, 257]))
    with pytest.raises(InvalidRequestError, match=r"prompts\[0\]: has token id -1"):
        await generate(service, Prompt(token_ids=[-1, 3]))
    request = pb.GenerateRequest(prompts=[pb.Prompt()], sampling=pb.Sampling(max_tokens=1))
    replies = stubs.InferenceServiceStub(service.channel).Generate(request, timeout=5)
    with pytest.raises(InvalidRequestError, match=r"prompts\[0\].content"), translate_errors():
        await anext(aiter(replies))


async def test_a_call_needs_a_deadline(service: Service) -> None:
    with pytest.raises(InvalidRequestError, match="deadline"), translate_errors():
        await stubs.InferenceServiceStub(service.channel).GetModel(pb.GetModelRequest())


async def test_an_older_version_than_asked_for_is_refused(service: Service) -> None:
    with pytest.raises(FailedPreconditionError, match=r"version 0 is served.*at least 3"):
        async for _ in service.client.generate(
            [GREETING], Sampling(max_tokens=5), min_weights_version=3
        ):
            pass


async def test_hanging_up_stops_the_generation() -> None:
    async with Service(tokens_per_s=1).running() as slow:
        await slow.until(lambda: bool(slow.engines))
        prompts = [Prompt(token_ids=[65], seed=1), Prompt(text="long " * 20, seed=1)]
        asked = Sampling(max_tokens=1)
        async with aclosing(slow.client.generate(prompts, asked)) as completions:
            await anext(completions)
        await slow.until(lambda: slow.gate._calls == 0)
        reader = asyncio.create_task(
            anext(slow.client.generate([GREETING], Sampling(max_tokens=50)))
        )
        await slow.until(lambda: slow.gate._running == 1)
        reader.cancel()
        await slow.until(lambda: slow.gate._running == 0)


async def test_too_many_calls_are_told_to_come_back() -> None:
    async with Service(tokens_per_s=1).running() as slow:
        await slow.until(lambda: bool(slow.engines))
        calls = [
            asyncio.create_task(anext(slow.client.generate([GREETING], Sampling(max_tokens=50))))
            for _ in range(4)
        ]
        await slow.until(lambda: slow.gate._running == 4)
        with pytest.raises(OverloadedError):
            await generate(slow, GREETING)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_eight_thousand_tokens_come_back_whole() -> None:
    long = Service(16_384, response_tokens_min=8096, response_tokens_max=8096)
    async with long.running():
        await long.until(lambda: bool(long.engines))
        completions = await generate(long, *([GREETING] * 40), max_tokens=8096, logprobs=True)
    assert {len(c.token_ids) for c in completions} == {8096}
    assert {c.finish_reason for c in completions} == {FinishReason.STOP}


# ---- score and model


async def test_scoring_a_completion_gives_what_it_was_drawn_with(service: Service) -> None:
    (completion,) = await generate(service, GREETING, logprobs=True)
    tokens = [*completion.prompt_token_ids, *completion.token_ids]
    sequence = ScoredTokens(token_ids=tokens, prompt_tokens=5)
    scores = [score async for score in service.client.score([sequence, sequence])]
    assert {score.sequence_index for score in scores} == {0, 1}
    assert all(score.logprobs == completion.logprobs for score in scores)


@pytest.mark.parametrize(
    ("token_ids", "prompt_tokens", "named"),
    [
        ([1, 2], 0, "prompt_tokens: must be at least 1"),
        ([1, 2], 2, "less than the 2 tokens"),
        ([], 1, "has no tokens"),
        ([1] * (CONTEXT_TOKENS + 1), 1, "context is 200"),
        ([1, 999], 1, "token id 999"),
    ],
)
async def test_a_sequence_that_cannot_be_scored_is_named(
    service: Service, token_ids: list[int], prompt_tokens: int, named: str
) -> None:
    bad = ScoredTokens(token_ids=token_ids, prompt_tokens=prompt_tokens)
    good = ScoredTokens(token_ids=[1, 2], prompt_tokens=1)
    with pytest.raises(InvalidRequestError, match=rf"sequences\[1\].*{named}"):
        _ = [score async for score in service.client.score([good, bad])]


async def test_the_model_says_what_it_is(service: Service) -> None:
    model = await service.client.get_model()
    assert (model.model, model.engine, model.weights_version) == ("base", "simulated", 0)
    assert (model.context_tokens, model.vocabulary_tokens) == (CONTEXT_TOKENS, 257)
    assert model.eos_token_ids == (256,)


# ---- the engine's life


async def test_while_the_engine_loads_calls_are_unavailable_and_health_says_so() -> None:
    service = Service()
    service.may_load.clear()
    async with service.running():
        assert not await service.is_serving()
        with pytest.raises(UnavailableError, match="the engine is loading"):
            await service.client.get_model(deadline_s=5)
        service.may_load.set()
        await service.until(lambda: bool(service.engines))
        assert await service.is_serving()
        assert await generate(service, GREETING)


async def test_a_dead_engine_is_never_an_empty_answer_and_comes_back() -> None:
    async with Service(tokens_per_s=10).running() as service:
        await service.until(lambda: bool(service.engines))
        call = asyncio.create_task(generate(service, GREETING))
        await service.until(lambda: service.gate._running == 1)
        service.may_load.clear()
        service.engine.kill("of old age")

        with pytest.raises(UnavailableError, match="of old age"):
            await call
        await service.until(lambda: service.keeper._engine is None)
        assert not await service.is_serving()
        with pytest.raises(UnavailableError, match=r"died and is restarting \(of old age\)"):
            await generate(service, GREETING)
        service.may_load.set()
        await service.until(lambda: len(service.engines) == 2)
        assert await service.is_serving()
        assert len(await generate(service, Prompt(text="a"), max_tokens=2)) == 1


async def test_an_engine_that_dies_too_often_ends_the_process() -> None:
    async with Service().running() as service:
        for life in range(1, 4):
            await service.until(lambda life=life: len(service.engines) == life)
            service.engine.kill(f"death {life}")
        with pytest.raises(EngineLostError, match=r"died 3 times .* restarts_max=2 .*death 3"):
            await asyncio.wait_for(service.keeping, 5)
