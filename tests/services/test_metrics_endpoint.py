"""`/metrics` of real processes: after calls, after a round, and where the port is taken."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services._server import semconv
from services._server.instruments import METRICS, Kind
from services.controller import metrics as of_controller
from tests.engine.inference_process import InferenceProcess
from tests.services.scraping import families, free_port, ours, scrape, scrape_until, value
from tests.services.test_controller_local import machine, spec
from zeroloop.client.inference import Prompt, Sampling
from zeroloop.core.runs import Phase

pytestmark = pytest.mark.timeout(300)

SIMULATED = ("--model", "nothing", "--engine", "simulated")

OF_THE_TRAINER = {
    *(semconv.METRIC_TRAIN_STEP_DURATION, semconv.METRIC_TRAIN_TOKENS),
    # Figures that the stand-in for it does not report.
    *(semconv.METRIC_LEARNING_ENTROPY, semconv.METRIC_LEARNING_GRAD_NORM),
    *(semconv.METRIC_LEARNING_CLIPPED, semconv.METRIC_LEARNING_MISMATCH),
}

OF_SANDBOXES = {
    *(semconv.METRIC_EXEC_REPEATED, semconv.METRIC_EXEC_CHECKED, semconv.METRIC_EXEC_CACHE),
    semconv.METRIC_EXEC_INFO,
}
"""Programs are simulated here; tests/engine/test_reset.py has real ones."""

CALLS = (
    "rpc_server_call_duration_seconds_count"
    '{rpc_method="zeroloop.inference.v1.InferenceService/Generate",rpc_response_status_code="OK"}'
)

SERVICES = ("buffer", "execution", "reward", "inference")


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    """Reads the instruments of this process: a provider is set once and for all."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


def outcome(*flags: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "services.inference", *SIMULATED, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


async def test_a_scrape_tells_of_the_calls_before(tmp_path: Path) -> None:
    port = free_port()
    service = InferenceProcess(tmp_path, *SIMULATED, f"--metrics-port={port}")
    service.wait_until_it_listens()
    async with service.connected() as connection:
        await connection.until(serving=True)
        prompt = Prompt(text="propose deduction\n<think>", seed=1)
        got = [c async for c in connection.inference.generate([prompt], Sampling(max_tokens=9))]
        text = await asyncio.to_thread(scrape_until, port, CALLS)
    assert service.stop() == 0

    assert value(text, CALLS) == 1
    tokens = sum(len(completion.token_ids) for completion in got)
    out = 'zeroloop_inference_tokens_total{gen_ai_token_type="output"}'
    assert value(text, out) == tokens > 0
    assert value(text, 'zeroloop_serving{component="inference"}') == 1
    assert 'service_name="zeroloop-inference"' in text
    assert families(text)["process_resident_memory_bytes"] == "gauge"


def test_a_port_in_use_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, error = outcome(f"--metrics-port={port}")

    assert (code, "Traceback" in error) == (64, False), error
    assert f"metrics_port: cannot listen on 127.0.0.1:{port}" in error


@pytest.mark.parametrize("port", ["-1", "65536", "nine"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    code, error = outcome(f"--metrics-port={port}")

    assert (code, "metrics_port" in error) == (64, True), error


async def test_a_round_leaves_every_metric(tmp_path: Path, reader: InMemoryMetricReader) -> None:
    """Whatever is on the list is recorded by somebody, under the name that the list says."""
    ports = {name: free_port() for name in SERVICES}
    environment = {f"ZEROLOOP_{n.upper()}__METRICS_PORT": str(p) for n, p in ports.items()}
    of_controller.leads(leading=True)
    seen: dict[str, str] = {}
    async with machine(tmp_path, **environment) as here:
        await here.runs.create("r", spec(4), "q")
        while here.runs.get("r").status.phase in of_controller.ALIVE:
            for port in ports.values():
                seen |= ours(families(await asyncio.to_thread(scrape, port)))
            here_now = set(in_process(reader))
            await asyncio.sleep(0.1)
            seen |= dict(here_now)
        assert here.runs.get("r").status.phase is Phase.COMPLETED, here.events("r")[-3:]

    elsewhere = OF_THE_TRAINER | OF_SANDBOXES
    expected = {m.family: str(m.kind) for m in METRICS if m.name not in elsewhere}
    assert seen == expected


def in_process(reader: InMemoryMetricReader) -> Iterator[tuple[str, str]]:
    """Metrics of this process, which plays, as the endpoint would name them."""
    known = {metric.name: metric for metric in METRICS}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.data.data_points:
                    yield known[metric.name].family, str(known[metric.name].kind)


def test_no_label_is_a_name_or_a_number_of_a_round() -> None:
    labels = {label for metric in METRICS for label in metric.labels}

    assert not labels & {semconv.RUN_NAME, semconv.ROUND_INDEX, semconv.WEIGHTS_VERSION}


def test_histograms_have_buckets_and_nothing_else_has() -> None:
    for metric in METRICS:
        assert bool(metric.bounds) is (metric.kind is Kind.HISTOGRAM), metric.name
        assert list(metric.bounds) == sorted(set(metric.bounds))


def test_the_list_has_every_name_once() -> None:
    named = [getattr(semconv, name) for name in vars(semconv) if name.startswith("METRIC_")]

    assert sorted(named) == sorted(metric.name for metric in METRICS)
    assert len({metric.family for metric in METRICS}) == len(METRICS)
