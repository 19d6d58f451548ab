"""`python -m services.inference` as a process: settings, bad input, life and death, spans."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.engine.inference_process import InferenceProcess
from zeroloop.client.inference import Prompt, Sampling
from zeroloop.errors import UnavailableError
from zeroloop.weights_folder import building, seal

SIMULATED = ("--model", "nothing", "--engine", "simulated")
PROMPT = Prompt(text="propose deduction\n<think>", seed=1)


def outcome(*flags: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "services.inference", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((), "model"),
        (("--model", "/nonexistent"), "'/nonexistent' does not exist"),
        (("--model", "/nonexistent", "--modle", "x"), "modle"),
        ((*SIMULATED, "--weights-uri", "/nonexistent"), "/nonexistent does not exist"),
        ((*SIMULATED, "--sequences-concurrent-max", "0"), "sequences_concurrent_max"),
        ((*SIMULATED, "--weights-digest", "xyz"), "weights_digest"),
    ],
)
def test_a_bad_setting_ends_it_with_the_name_of_what_is_wrong(
    flags: tuple[str, ...], named: str
) -> None:
    code, error = outcome(*flags)
    assert code != 0
    assert "Traceback" not in error
    assert named in error


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    service = InferenceProcess(tmp_path, *SIMULATED)
    service.wait_until_it_listens()
    port = service.address.rpartition(":")[2]
    code, error = outcome(*SIMULATED, "--port", port, "--token-file", str(tmp_path / "token"))
    assert (code, port in error, "Traceback" in error) == (64, True, False), error
    assert service.stop() == 0


def test_weights_to_start_from_are_verified(tmp_path: Path) -> None:
    with building(tmp_path / "3") as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        seal(folder, version=3, parent=2, dtype="float32")
    start = (*SIMULATED, "--weights-uri", str(tmp_path / "3"))
    code, error = outcome(*start, "--weights-version", "4")
    assert (code, "holds version 3" in error) == (64, True), error
    (tmp_path / "3" / "model.safetensors").write_bytes(b"weightz")
    code, error = outcome(*start, "--weights-version", "3")
    assert (code, "model.safetensors has SHA-256" in error) == (64, True), error


async def test_it_serves_stops_and_leaves_spans(tmp_path: Path) -> None:
    service = InferenceProcess(tmp_path, *SIMULATED)
    service.wait_until_it_listens()
    async with service.connected() as connection:
        await connection.until(serving=True)
        asked = Sampling(max_tokens=1000)
        (completion,) = [c async for c in connection.inference.generate([PROMPT], asked)]
        assert "```python" in completion.text
    assert service.stop() == 0

    lines = (tmp_path / "telemetry" / "spans-inference.jsonl").read_text().splitlines()
    spans = {span["name"]: span for span in map(json.loads, lines)}
    generate = spans["text_completion"]
    assert generate["attributes"]["gen_ai.usage.output_tokens"] == len(completion.token_ids)
    assert generate["attributes"]["zeroloop.weights.version"] == 0
    call = next(span for name, span in spans.items() if name.endswith("/Generate"))
    assert (generate["trace_id"], generate["parent_id"]) == (call["trace_id"], call["span_id"])


async def test_an_engine_that_keeps_dying_ends_the_process(tmp_path: Path) -> None:
    service = InferenceProcess(
        tmp_path, *SIMULATED, "--simulated-dies-after", "1", "--restarts-max", "2"
    )
    service.wait_until_it_listens()
    async with service.connected() as connection:
        for _ in range(30):
            if service.process.poll() is not None:
                break
            with suppress(UnavailableError):
                asked = connection.inference.generate([PROMPT], Sampling(max_tokens=10))
                _ = [completion async for completion in asked]
            await asyncio.sleep(0.2)
    assert service.process.poll() not in {None, 0, 64, -signal.SIGTERM}
    assert "restarts_max=2" in service.log.read_text()
