"""What the real engine, the real trainer and real sandboxes answer at `/metrics`."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chart import queries
from tests.chart.rendering import CHART
from tests.engine.controller_process import SEEDLING
from tests.engine.inference_process import InferenceProcess
from tests.engine.test_sandbox_process import SEVEN, Service
from tests.engine.test_trainer import Bench
from tests.engine.test_trainer import bench as bench
from tests.services.scraping import families, free_port, scrape_until, value
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.inference import Prompt, Sampling

DASHBOARD = CHART / "dashboards" / "engine.json"


async def test_the_engine_s_dashboard_asks_for_what_vllm_counts(tmp_path: Path) -> None:
    port = free_port()
    service = InferenceProcess(
        tmp_path, f"--model={SEEDLING}", "--kv-cache-mib=64", f"--metrics-port={port}"
    )
    service.wait_until_it_listens()
    async with service.connected() as connection:
        await connection.until(serving=True)
        prompts = [Prompt(text="a" * 20, seed=seed) for seed in range(4)]
        got = [c async for c in connection.inference.generate(prompts, Sampling(max_tokens=16))]
        tokens = float(sum(len(completion.token_ids) for completion in got))
        series = f'zeroloop_inference_tokens_total{{gen_ai_token_type="output"}} {tokens}'
        text = await asyncio.to_thread(scrape_until, port, series)
    service.stop()

    asked = {
        name
        for panel in queries.panels(json.loads(DASHBOARD.read_text()))
        for target in panel["targets"]
        for name in queries.read(target["expr"]).metrics
        if name.startswith("vllm:")
    }
    there = {line.split("{")[0].split(" ")[0] for line in text.splitlines()}
    assert len(asked) > 8
    assert asked <= there


async def test_looks_for_known_results_are_counted(tmp_path: Path) -> None:
    port = free_port()
    service = Service(tmp_path / "service", f"--metrics-port={port}")
    try:
        service.wait_until_ready()
        async with service.channel() as channel:
            program = replace(SEVEN, check_determinism=True)
            calls = [ExecutionClient(channel).execute([program]) for _ in range(3)]
            cached = [result.cached for call in calls async for result in call]
        hits = 'zeroloop_exec_cache_total{outcome="hit"} 2.0'
        text = await asyncio.to_thread(scrape_until, port, hits)
    finally:
        service.process.kill()
        service.process.wait()

    assert cached == [False, True, True]
    assert value(text, 'zeroloop_exec_cache_total{outcome="miss"}') >= 1
    assert families(text)["zeroloop_exec_cache_total"] == "counter"
    assert 'modes="reset strict"' in text


def test_the_first_rank_answers_for_a_trainer_of_two(bench: Bench) -> None:
    port = free_port()
    bench.start("--ranks=2", f"--metrics-port={port}")

    text = scrape_until(port, "zeroloop_train_tokens_total", limit_s=200)

    assert value(text, "zeroloop_train_tokens_total") > 0
    assert families(text)["zeroloop_train_step_duration_seconds"] == "histogram"
    assert value(text, "zeroloop_train_step_duration_seconds_count") >= 1


@pytest.mark.parametrize("flag", ["--metrics-port=-1", "--metrics-port=x"])
def test_a_wrong_port_is_named(bench: Bench, flag: str) -> None:
    assert "metrics_port" in bench.run(flag, code=64)
