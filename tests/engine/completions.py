"""Asking an Inference service, and comparing its answers with transformers'."""

import random
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM

from tests.engine.inference_process import Connection
from tests.engine.models import CHARACTERS, logprobs
from zeroloop.client.inference import Completion, Prompt, Sampling, ScoredTokens

PARITY_MAX = 1e-4


def text(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(CHARACTERS, k=length))


async def generate(service: Connection, *prompts: Prompt, **sampling: Any) -> list[Completion]:
    asked = Sampling(**({"max_tokens": 40, "logprobs": True} | sampling))
    return [c async for c in service.inference.generate(prompts, asked)]


async def score(service: Connection, *sequences: ScoredTokens) -> list[list[float]]:
    found = {s.sequence_index: list(s.logprobs) async for s in service.inference.score(sequences)}
    return [found[index] for index in range(len(sequences))]


def largest_difference(first: list[float], second: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def difference_from(model: LlamaForCausalLM, completion: Completion, prompt: list[int]) -> float:
    """Of the completion's log-probabilities from transformers'."""
    expected = logprobs(model, [*prompt, *completion.token_ids], len(prompt))
    return largest_difference(list(completion.logprobs), expected)


async def version_answers(service: Connection, folder: Path, version: int) -> None:
    """Assert that `version`, which lies in `folder`, is served: by name and by what it says."""
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    prompt = list(range(3, 40))
    (completion,) = await generate(service, Prompt(token_ids=prompt, seed=5))
    assert completion.weights_version == version
    assert difference_from(model, completion, prompt) < PARITY_MAX
