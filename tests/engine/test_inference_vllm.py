"""The Inference service with real vLLM inside, against vLLM alone and transformers.

One engine serves the whole file, as it takes half a minute to start; the tests at the end
kill it, and then the service.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from tests.engine.completions import (
    PARITY_MAX,
    difference_from,
    generate,
    largest_difference,
    score,
    text,
    version_answers,
)
from tests.engine.inference_process import (
    Connection,
    InferenceProcess,
    cpu_s,
    descendants,
    memory_bytes,
    wait_for,
)
from tests.engine.models import CONTEXT_TOKENS, logprobs, publish, tiny_llama
from zeroloop.client.inference import (
    Completion,
    FinishReason,
    Prompt,
    Sampling,
    ScoredTokens,
)
from zeroloop.errors import (
    CorruptDataError,
    FailedPreconditionError,
    InternalError,
    InvalidRequestError,
    UnavailableError,
)
from zeroloop.weights_folder import building, seal, verify

pytestmark = pytest.mark.timeout(400)

SHARP = {"temperature": 0.7, "top_p": 0.9, "top_k": 20}


REQUESTS = [
    *({"prompt": text(i, 10 + i), "seed": 0, "sampling": {"temperature": 0.0}} for i in range(8)),
    *({"prompt": text(i, 90), "seed": 40 + i, "sampling": {"n": 4}} for i in range(8)),
    *({"prompt": text(i, 30), "seed": 90 + i, "sampling": SHARP | {"n": 2}} for i in range(8)),
]
for request in REQUESTS:
    request["sampling"]["max_tokens"] = 40


@dataclass
class Served:
    """The service, and what transformers says of the weights it began with."""

    process: InferenceProcess
    model: LlamaForCausalLM
    folder: Path
    direct: list[dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("inference")
    model = tiny_llama(folder / "model", seed=0)
    (folder / "requests.json").write_text(json.dumps(REQUESTS))
    script = Path(__file__).with_name("direct_vllm.py")
    files = [str(folder / name) for name in ("model", "requests.json", "answers.json")]
    subprocess.run([sys.executable, script, *files], check=True, capture_output=True, timeout=300)
    direct = json.loads((folder / "answers.json").read_text())
    process = InferenceProcess(
        folder / "service", "--model", files[0], "--kv-cache-mib", "256", "--restarts-max", "1"
    )
    try:
        process.wait_until_it_listens()
        yield Served(process, model, folder, direct)
    finally:
        process.kill()


@pytest.fixture
async def service(served: Served) -> AsyncIterator[Connection]:
    async with served.process.connected() as connection:
        await connection.until(serving=True)
        yield connection


async def test_while_the_engine_loads_the_server_answers(served: Served) -> None:
    async with served.process.connected() as service:
        if await service.is_serving():
            pytest.skip("the engine was faster")
        with pytest.raises(UnavailableError, match="the engine is loading"):
            await service.inference.get_model()
        await service.until(serving=True)


async def test_greedy_and_sampled_outputs_equal_vllm_used_directly(
    served: Served, service: Connection
) -> None:
    for request, expected in zip(REQUESTS, served.direct, strict=True):
        prompt = Prompt(text=request["prompt"], seed=request["seed"])
        completions = await generate(service, prompt, **request["sampling"])
        completions.sort(key=lambda completion: completion.sample_index)
        assert list(completions[0].prompt_token_ids) == expected["prompt_token_ids"]
        for completion, sample in zip(completions, expected["samples"], strict=True):
            assert list(completion.token_ids) == sample["token_ids"]
            assert completion.text == sample["text"]
            assert completion.finish_reason.value == sample["finish_reason"]
            assert largest_difference(list(completion.logprobs), sample["logprobs"]) < 1e-6


async def test_all_prompts_at_once_give_the_same_as_one_by_one(
    served: Served, service: Connection
) -> None:
    prompts = [Prompt(text=r["prompt"], seed=r["seed"]) for r in REQUESTS[8:16]]
    for _ in range(2):
        together = await generate(service, *prompts, n=4)
        assert len(together) == 32
        for completion in together:
            expected = served.direct[8 + completion.prompt_index]
            sample = expected["samples"][completion.sample_index]
            assert list(completion.token_ids) == sample["token_ids"]
            assert largest_difference(list(completion.logprobs), sample["logprobs"]) < 1e-6


async def test_logprobs_are_those_of_transformers(served: Served, service: Connection) -> None:
    tokens = [list(range(3, 13 + i)) for i in range(20)]
    prompts = [Prompt(token_ids=ids, seed=i) for i, ids in enumerate(tokens)]
    for completion in await generate(service, *prompts, n=2):
        prompt = tokens[completion.prompt_index]
        assert difference_from(served.model, completion, prompt) < PARITY_MAX


@pytest.mark.parametrize(
    ("length", "prompt_tokens"), [(2, 1), (3, 1), (3, 2), (130, 60), (CONTEXT_TOKENS, 1)]
)
async def test_scores_are_those_of_transformers(
    served: Served, service: Connection, length: int, prompt_tokens: int
) -> None:
    tokens = random.Random(length).choices(range(3, 90), k=length)
    sequence = ScoredTokens(token_ids=tokens, prompt_tokens=prompt_tokens)
    for found in await score(service, *[sequence] * 3):
        expected = logprobs(served.model, tokens, prompt_tokens)
        assert largest_difference(found, expected) < PARITY_MAX


async def test_scoring_while_generating_disturbs_neither(
    served: Served, service: Connection
) -> None:
    prompts = [Prompt(text=r["prompt"], seed=r["seed"]) for r in REQUESTS[8:16]]
    tokens = list(range(3, 90))
    sequences = [ScoredTokens(token_ids=tokens, prompt_tokens=5)] * 30
    completions, scores = await asyncio.gather(
        generate(service, *prompts, n=4), score(service, *sequences)
    )
    for completion in completions:
        sample = served.direct[8 + completion.prompt_index]["samples"][completion.sample_index]
        assert list(completion.token_ids) == sample["token_ids"]
        assert largest_difference(list(completion.logprobs), sample["logprobs"]) < 1e-6
    expected = logprobs(served.model, tokens, 5)
    assert all(largest_difference(found, expected) < PARITY_MAX for found in scores)


async def test_a_burst_of_seeded_prompts_beyond_one_step_is_served(service: Connection) -> None:
    prompts = [Prompt(text=text(i, 200), seed=i) for i in range(300)]
    completions = await generate(service, *prompts, max_tokens=2, logprobs=False)
    assert len(completions) == 300


async def test_a_long_prompt_is_refused_and_one_that_fits_is_cut_off(service: Connection) -> None:
    with pytest.raises(InvalidRequestError, match=rf"prompts\[1\].*context of {CONTEXT_TOKENS}"):
        await generate(service, Prompt(text="a"), Prompt(text="b" * CONTEXT_TOKENS))
    (completion,) = await generate(service, Prompt(text="b" * (CONTEXT_TOKENS - 3)), temperature=0)
    assert len(completion.token_ids) <= 3
    if len(completion.token_ids) == 3:
        assert completion.finish_reason is FinishReason.LENGTH


async def test_completions_stream_as_they_finish(service: Connection) -> None:
    prompts = [Prompt(token_ids=[5] * n, seed=1) for n in (100, CONTEXT_TOKENS - 1)]
    completions = await generate(service, *prompts, max_tokens=150)
    lengths = [len(completion.token_ids) for completion in completions]
    assert lengths == sorted(lengths)


async def test_hanging_up_frees_the_engine(served: Served, service: Connection) -> None:
    core = served.process.core()
    assert core is not None
    prompts = [Prompt(text=text(i, 10), seed=i) for i in range(512)]
    asked = Sampling(max_tokens=CONTEXT_TOKENS, n=8)
    async with aclosing(service.inference.generate(prompts, asked)) as completions:
        await anext(completions)
    await asyncio.sleep(1)
    before_s = cpu_s(core)
    await asyncio.sleep(1)
    assert cpu_s(core) - before_s < 0.5


async def test_an_idle_engine_costs_next_to_nothing(served: Served, service: Connection) -> None:
    pids = [served.process.process.pid, *descendants(served.process.process.pid)]
    before_s = sum(map(cpu_s, pids))
    await asyncio.sleep(3)
    assert sum(map(cpu_s, pids)) - before_s < 0.3


async def test_the_model_says_what_it_is(served: Served, service: Connection) -> None:
    model = await service.inference.get_model()
    assert model.model == str(served.folder / "model")
    assert (model.engine, model.dtype) == ("vllm", "float32")
    assert (model.context_tokens, model.vocabulary_tokens) == (CONTEXT_TOKENS, 99)
    assert model.eos_token_ids == (1,)
    assert len(model.tokenizer_digest) == 64


async def roll(service: Connection, folder: Path, version: int, seed: int) -> LlamaForCausalLM:
    model, digest = publish(folder / str(version), version=version, seed=seed)
    await service.weights.stage(version, str(folder / str(version)), digest)
    applied = await service.weights.apply(version, parity_max=PARITY_MAX)
    assert applied.weights_version == version
    assert 0 <= applied.parity < PARITY_MAX
    return model


async def test_every_reload_reads_the_files_again(served: Served, service: Connection) -> None:
    prompt = list(range(3, 40))
    asked = Prompt(token_ids=prompt, seed=5)
    seen: set[tuple[int, ...]] = set()
    for version in (1, 2, 3):
        model = await roll(service, served.folder, version, seed=version)
        (completion,) = await generate(service, asked)
        assert difference_from(model, completion, prompt) < PARITY_MAX
        assert difference_from(served.model, completion, prompt) > 0.1
        assert [(w.weights_version, w.start, w.end) for w in completion.weights] == [
            (version, 0, len(completion.token_ids))
        ]
        seen.add(tuple(completion.token_ids))
    assert len(seen) == 3
    assert await service.weights.rollback() == 2
    assert (await generate(service, asked))[0].weights_version == 2


async def test_memory_stays_flat_over_many_changes(served: Served, service: Connection) -> None:
    core = served.process.core()
    assert core is not None
    digests = {v: verify(served.folder / str(v)).digest for v in (1, 2, 3)}
    sizes: list[int] = []
    for turn in range(30):
        version = 1 + turn % 3
        await service.weights.stage(version, str(served.folder / str(version)), digests[version])
        await service.weights.apply(version)
        sizes.append(memory_bytes(core))
    assert sizes[-1] < 1.02 * sizes[5]
    await service.weights.apply(2)


async def test_bad_weights_are_refused_and_the_old_ones_go_on(
    served: Served, service: Connection
) -> None:
    folder = served.folder / "4"
    _, digest = publish(folder, version=4, seed=4)
    weights = folder / "model.safetensors"
    content, stat = weights.read_bytes(), weights.stat()

    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CorruptDataError, match=r"model\.safetensors has SHA-256"):
        await service.weights.stage(4, str(folder), digest)
    await version_answers(service, served.folder / "2", 2)

    # Damage that nothing but the loader sees: same size, same time of change.
    weights.write_bytes(content)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    await service.weights.stage(4, str(folder), digest)
    weights.write_bytes(b"\xff" * len(content))
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InternalError, match="did not load"):
        await service.weights.apply(4)
    await version_answers(service, served.folder / "2", 2)


async def test_weights_of_another_shape_are_refused(served: Served, service: Connection) -> None:
    with building(served.folder / "5") as folder:
        tiny_llama(folder, layers=1)
        digest = seal(folder, version=5, parent=4, dtype="float32")
    with pytest.raises(CorruptDataError, match="not the model that is served"):
        await service.weights.stage(5, str(served.folder / "5"), digest)


async def test_weights_that_are_not_the_trainers_are_taken_back(
    served: Served, service: Connection
) -> None:
    _, digest = publish(served.folder / "6", version=6, seed=6, probe_shift=0.01)
    await service.weights.stage(6, str(served.folder / "6"), digest)
    with pytest.raises(FailedPreconditionError, match=r"by 0\.01 nats"):
        await service.weights.apply(6)
    await version_answers(service, served.folder / "2", 2)


async def test_a_killed_core_is_unavailable_and_comes_back_with_the_newest_weights(
    served: Served, service: Connection
) -> None:
    core = served.process.core()
    assert core is not None
    prompts = [Prompt(text=text(i, 10), seed=i) for i in range(512)]
    answered: list[Completion] = []

    async def read() -> None:
        asked = Sampling(max_tokens=CONTEXT_TOKENS, n=8)
        async for completion in service.inference.generate(prompts, asked):
            answered.append(completion)

    reading = asyncio.create_task(read())
    await asyncio.sleep(1)
    os.kill(core, 9)
    with pytest.raises(UnavailableError, match="died"):
        await reading
    assert all(completion.token_ids for completion in answered)
    await service.until(serving=False)
    with pytest.raises(UnavailableError, match="restarting"):
        await generate(service, Prompt(text="a"))
    await service.until(serving=True)
    await version_answers(service, served.folder / "2", 2)


async def test_the_second_death_ends_the_service(served: Served, service: Connection) -> None:
    core = served.process.core()
    assert core is not None
    os.kill(core, 9)
    wait_for(lambda: served.process.process.poll() is not None, 30)
    assert served.process.process.returncode not in {0, None}
    assert "restarts_max=1" in served.process.log.read_text()
