"""How the Inference service with real vLLM starts, ends and fails to start."""

from pathlib import Path

import pytest

from tests.engine.completions import (
    PARITY_MAX,
    generate,
    largest_difference,
    text,
    version_answers,
)
from tests.engine.inference_process import (
    Connection,
    InferenceProcess,
    command_of,
    descendants,
    is_alive,
    wait_for,
)
from tests.engine.models import publish, tiny_llama
from zeroloop.client.inference import Prompt
from zeroloop.errors import UnavailableError

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_llama(folder)
    return folder


def test_a_killed_service_leaves_no_engine_behind(model: Path, tmp_path: Path) -> None:
    service = InferenceProcess(tmp_path, "--model", str(model), "--kv-cache-mib", "64")
    service.wait_until_it_listens()
    wait_for(lambda: service.core() is not None, 120)
    while_loading = descendants(service.process.pid)
    service.kill()
    wait_for(lambda: not any(map(is_alive, while_loading)), 20)


async def test_a_service_starts_from_the_weights_it_is_told(model: Path, tmp_path: Path) -> None:
    _, digest = publish(tmp_path / "3", version=3, seed=3)
    service = InferenceProcess(
        tmp_path / "service",
        *("--model", str(model), "--kv-cache-mib", "16", "--weights-digest", digest),
        *("--weights-uri", str(tmp_path / "3"), "--weights-version", "3", "--sleep-mode"),
    )
    service.wait_until_it_listens()
    async with service.connected() as connection:
        await connection.until(serving=True)
        await version_answers(connection, tmp_path / "3", 3)
        await sleeping_changes_no_answer(connection)
        await memory_for_keys_runs_out_without_a_trace(connection)
    processes = descendants(service.process.pid)
    assert service.stop() == 0
    wait_for(lambda: not any(map(is_alive, processes)), 20)


async def sleeping_changes_no_answer(service: Connection) -> None:
    prompts = [Prompt(text=text(i, 50), seed=i) for i in range(8)]
    before = await generate(service, *prompts)
    await service.weights.sleep()
    with pytest.raises(UnavailableError, match="sleeps"):
        await generate(service, *prompts)
    await service.weights.wake()
    after = await generate(service, *prompts)
    tokens = [{c.prompt_index: c.token_ids for c in answers} for answers in (before, after)]
    assert tokens[0] == tokens[1]


async def memory_for_keys_runs_out_without_a_trace(service: Connection) -> None:
    """Sequences that are put off and taken up again have the tokens of undisturbed ones."""
    prompts = [Prompt(text=text(i, 100), seed=i) for i in range(256)]
    together = {c.prompt_index: c for c in await generate(service, *prompts, max_tokens=150)}
    assert sum(len(c.token_ids) for c in together.values()) > 256 * 64
    for index in range(0, 256, 32):
        (alone,) = await generate(service, prompts[index], max_tokens=150)
        assert alone.token_ids == together[index].token_ids
        assert largest_difference(list(alone.logprobs), list(together[index].logprobs)) < 1e-5


async def test_a_model_that_is_spread_over_two_workers_answers_and_changes_as_one(
    model: Path, tmp_path: Path
) -> None:
    flags = ("--model", str(model), "--kv-cache-mib", "16", "--tensor-parallel-size", "2")
    service = InferenceProcess(tmp_path / "service", *flags)
    service.wait_until_it_listens()
    async with service.connected() as connection:
        await connection.until(serving=True)
        await version_answers(connection, model, 0)
        _, digest = publish(tmp_path / "1", version=1, seed=1)
        await connection.weights.stage(1, str(tmp_path / "1"), digest)
        assert (await connection.weights.apply(1)).parity < PARITY_MAX
        await version_answers(connection, tmp_path / "1", 1)
    processes = descendants(service.process.pid)
    assert sum("Worker_TP" in command_of(pid) for pid in processes) == 2
    assert service.stop() == 0
    wait_for(lambda: not any(map(is_alive, processes)), 20)


def test_a_service_that_is_told_to_stop_while_it_loads_stops(model: Path, tmp_path: Path) -> None:
    service = InferenceProcess(tmp_path, "--model", str(model))
    service.wait_until_it_listens()
    assert service.stop() == 0
    wait_for(lambda: not descendants(service.process.pid), 20)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("config.json", None, "config.json cannot be read"),
        ("model.safetensors", b"", "no safetensors file"),
        ("config.json", b'{"architectures": ["Nonsense"], "model_type": "llama"}', "vLLM did not"),
    ],
)
def test_a_broken_model_ends_the_service_with_a_clear_error(
    tmp_path: Path, name: str, content: bytes | None, named: str
) -> None:
    tiny_llama(tmp_path / "model")
    if content is None:
        (tmp_path / "model" / name).unlink()
    else:
        (tmp_path / "model" / name).write_bytes(content)
    service = InferenceProcess(tmp_path / "service", "--model", str(tmp_path / "model"))
    assert service.process.wait(240) == 64
    assert named in service.log.read_text()
