"""Speed of `Generate` beside vLLM used directly: same prompts, same seeds, interleaved.

The direct side is vLLM's own `LLM` class with the same engine arguments, text included, as
the service returns text too. The ways take turns, so that a noisy machine is noisy to all.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from services.inference.engine.vllm_options import (
    VllmSettings,
    engine_arguments,
    prepare_environment,
)
from services.reward.domains.code import compact
from tests.bench.report import Row, write
from tests.engine.inference_process import Connection, InferenceProcess, cpu_s, descendants
from zeroloop.client.inference import Completion, Prompt, Sampling, ScoredTokens
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Task
from zeroloop.weights_folder import building, seal

MODEL = Path("models/seedling")
PROMPTS = 256
MAX_TOKENS = 160
REPEATS = 5
PAUSE_S = 1.0
"""Between two turns, so that threads of the last one sleep."""


def prompts() -> list[str]:
    """Solver prompts of held-out tasks, as a round sends them."""
    lines = (MODEL / "heldout.jsonl").read_text().splitlines()
    settings = AlgorithmSettings()
    return [
        compact.solve_prompt(task, settings)
        for task in map(_task, lines)
        if task.kind is not Kind.INDUCTION
    ][:PROMPTS]


def _task(line: str) -> Task:
    stored = json.loads(line)
    return Task(
        domain="code",
        kind=Kind(stored["kind"]),
        program=stored["program"],
        cases=tuple(Case(case["input"], case["output"]) for case in stored["cases"]),
        message=stored.get("message", ""),
        shown=stored.get("shown", 0),
    )


class Direct:
    """vLLM without this project around it."""

    def __init__(self) -> None:
        from vllm import LLM

        self._llm = LLM(**engine_arguments(str(MODEL), VllmSettings(kv_cache_mib=512)))

    def close(self) -> None:
        """End its process, which would else keep this one from ending."""
        self._llm.llm_engine.engine_core.shutdown()

    def tokens_per_s(self, token_ids: list[list[int]], *, logprobs: bool) -> float:
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=1.0,
                max_tokens=MAX_TOKENS,
                seed=seed,
                logprobs=0 if logprobs else None,
                flat_logprobs=True,
            )
            for seed in range(len(token_ids))
        ]
        asked: Any = [{"prompt_token_ids": ids} for ids in token_ids]
        started_s = time.perf_counter()
        outputs = self._llm.generate(asked, params, use_tqdm=False)
        duration_s = time.perf_counter() - started_s
        return sum(len(output.outputs[0].token_ids) for output in outputs) / duration_s


async def through_grpc(
    service: Connection, token_ids: list[list[int]], *, logprobs: bool
) -> tuple[float, list[Completion]]:
    """Tokens per second, and what came."""
    asked = [Prompt(token_ids=ids, seed=seed) for seed, ids in enumerate(token_ids)]
    sampling = Sampling(max_tokens=MAX_TOKENS, logprobs=logprobs)
    started_s = time.perf_counter()
    completions = [c async for c in service.inference.generate(asked, sampling)]
    duration_s = time.perf_counter() - started_s
    return sum(len(c.token_ids) for c in completions) / duration_s, completions


async def interleaved(service: Connection, direct: Direct) -> list[Row]:
    """Let the ways take turns; the first turn of each only warms up."""
    await service.until(serving=True)
    token_ids: list[list[int]] = [[] for _ in range(PROMPTS)]
    asked = [Prompt(text=text, seed=0) for text in prompts()]
    async for completion in service.inference.generate(asked, Sampling(max_tokens=1)):
        token_ids[completion.prompt_index] = list(completion.prompt_token_ids)
    rates: dict[str, list[float]] = {
        name: [] for name in ("direct", "direct logprobs", "plain", "logprobs")
    }
    for _ in range(REPEATS + 1):
        for logprobs, way in ((False, "plain"), (True, "logprobs")):
            direct_way = "direct logprobs" if logprobs else "direct"
            rates[direct_way].append(direct.tokens_per_s(token_ids, logprobs=logprobs))
            await asyncio.sleep(PAUSE_S)
            rate, _ = await through_grpc(service, token_ids, logprobs=logprobs)
            rates[way].append(rate)
            await asyncio.sleep(PAUSE_S)
    median = {way: statistics.median(found[1:]) for way, found in rates.items()}
    return [
        Row(name="vLLM directly", value=median["direct"], unit="tok/s"),
        Row(name="Generate", value=median["plain"], unit="tok/s"),
        Row(name="Generate with log-probs", value=median["logprobs"], unit="tok/s"),
        Row(
            name="Generate / vLLM directly",
            value=_ratio(rates["plain"], rates["direct"]),
            unit="ratio",
            target=0.85,
        ),
        Row(
            name="with log-probs / without",
            value=_ratio(rates["logprobs"], rates["plain"]),
            unit="ratio",
            target=0.95,
        ),
        Row(
            name="vLLM directly: with log-probs / without",
            value=_ratio(rates["direct logprobs"], rates["direct"]),
            unit="ratio",
        ),
        Row(
            name="with log-probs: Generate / vLLM directly",
            value=_ratio(rates["logprobs"], rates["direct logprobs"]),
            unit="ratio",
            target=0.85,
        ),
    ]


def _ratio(first: list[float], second: list[float]) -> float:
    """Median of the ratios within each turn, the warm-up left out."""
    return statistics.median(a / b for a, b in zip(first[1:], second[1:], strict=True))


async def agreement(service: Connection) -> Row:
    """Largest difference of a log-probability from transformers on sampled completions."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    asked = [Prompt(text=text, seed=7) for text in prompts()[:32]]
    largest = 0.0
    sampling = Sampling(max_tokens=MAX_TOKENS, logprobs=True)
    async for completion in service.inference.generate(asked, sampling):
        tokens = [*completion.prompt_token_ids, *completion.token_ids]
        start = len(completion.prompt_token_ids)
        with torch.no_grad():
            logprobs_TV = torch.log_softmax(model(torch.tensor([tokens])).logits[0].float(), -1)
        theirs = [logprobs_TV[i - 1, tokens[i]].item() for i in range(start, len(tokens))]
        scored = ScoredTokens(token_ids=tokens, prompt_tokens=start)
        async for score in service.inference.score([scored]):
            pairs = zip(score.logprobs, completion.logprobs, theirs, strict=True)
            largest = max(largest, *(max(abs(a - c), abs(b - c)) for a, b, c in pairs))
    return Row(
        name="log-probs against transformers, largest difference",
        value=largest,
        unit="nats",
        target=1e-3,
        better="lower",
    )


async def rolls(service: Connection, folder: Path) -> Row:
    """Time without service at a change of weights."""
    paused_s: list[float] = []
    for version in range(1, 6):
        with building(folder / str(version)) as draft:
            for name in ("model.safetensors", "config.json"):
                (draft / name).write_bytes((MODEL / name).read_bytes())
            digest = seal(draft, version=version, parent=version - 1, dtype="float32")
        await service.weights.stage(version, str(folder / str(version)), digest)
        paused_s.append((await service.weights.apply(version)).paused_s)
    return Row(name="pause at a change of weights", value=statistics.median(paused_s), unit="s")


async def idle_ratio(pids: Callable[[], list[int]]) -> Row:
    """Share of one core that a service without work uses."""
    await asyncio.sleep(2)
    before_s, started_s = sum(map(cpu_s, pids())), time.perf_counter()
    await asyncio.sleep(5)
    used_s = sum(map(cpu_s, pids())) - before_s
    return Row(
        name="idle service, share of a core",
        value=used_s / (time.perf_counter() - started_s),
        unit="ratio",
        target=0.05,
        better="lower",
    )


async def main() -> bool:
    """Run everything; whether all targets are met."""
    prepare_environment(os.environ, threads=0)
    with tempfile.TemporaryDirectory() as scratch:
        started_s = time.perf_counter()
        process = InferenceProcess(
            Path(scratch) / "service", "--model", str(MODEL), "--kv-cache-mib", "512"
        )
        try:
            process.wait_until_it_listens()
            listens_s = time.perf_counter() - started_s
            async with process.connected() as service:
                await service.until(serving=True)
                serves_s = time.perf_counter() - started_s
                pid = process.process.pid
                rows = [
                    Row(name="start until it listens", value=listens_s, unit="s"),
                    Row(name="start until it serves", value=serves_s, unit="s"),
                    await idle_ratio(lambda: [pid, *descendants(pid)]),
                    await rolls(service, Path(scratch)),
                    await agreement(service),
                ]
                with closing(Direct()) as direct:
                    rows += await interleaved(service, direct)
        finally:
            process.kill()
    notes = f"{PROMPTS} prompts of {MODEL}, at most {MAX_TOKENS} tokens each, {REPEATS} turns"
    return write("inference", rows, notes=notes)


if __name__ == "__main__":
    raise SystemExit(0 if asyncio.run(main()) else 1)
