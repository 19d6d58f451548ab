"""An engine whose weights lie in a bucket: staged, served, and there again after a restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.inference.application import first_weights
from services.inference.config import InferenceSettings
from services.inference.weights_cache import WeightsCache
from tests.engine.inference_process import InferenceProcess
from tests.services.s3_server import READER, S3Server, become
from tests.services.simulated_inference import GREETING, Service, generate
from tests.services.test_inference_process import SIMULATED, outcome
from zeroloop.errors import (
    ConfigError,
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from zeroloop.weights_folder import seal
from zeroloop.weights_pointer import ServedWeights
from zeroloop.weights_store import WeightsStore, open_store, write_pointer


def publish(store: WeightsStore, version: int) -> str:
    with store.writing(version) as folder:
        (folder / "model.safetensors").write_bytes(f"weights {version}".encode())
        return seal(folder, version=version, parent=0, dtype="float32")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "cache").mkdir()
    async with Service(cache=tmp_path / "cache").running() as running:
        await running.until(lambda: bool(running.engines))
        yield running


async def test_a_process_comes_up_again_on_what_was_rolled_out(
    bucket: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pod that may only read, and that loses its disk when it starts anew."""
    store, pointer = open_store(f"{bucket}/run"), f"{bucket}/run/SERVED.json"
    digest = publish(store, 1)
    become(monkeypatch, s3.environment(READER))
    cache = tmp_path / "cache"
    start = (*SIMULATED, "--weights-pointer", pointer, "--weights-cache", str(cache))

    first = InferenceProcess(tmp_path / "first", *start)
    await asyncio.to_thread(first.wait_until_it_listens)
    async with first.connected() as connection:
        await connection.until(serving=True)
        assert (await connection.inference.get_model()).weights_version == 0
        assert await connection.weights.stage(1, store.uri(1), digest) > len(b"weights 1")
        assert (await connection.weights.apply(1)).weights_version == 1
    first.kill()
    become(monkeypatch, s3.environment())
    write_pointer(pointer, ServedWeights(1, store.uri(1), digest))
    become(monkeypatch, s3.environment(READER))
    second = InferenceProcess(tmp_path / "second", *start[:-1], str(tmp_path / "another"))
    await asyncio.to_thread(second.wait_until_it_listens)
    async with second.connected() as connection:
        await connection.until(serving=True)
        assert (await connection.inference.get_model()).weights_version == 1

    assert second.stop() == 0
    assert [path.name for path in cache.iterdir()] == [digest]
    logged = [json.loads(line) for line in first.log.read_text().splitlines() if "{" in line]
    (copied,) = [line for line in logged if "weights_copied" in line.values()]
    assert copied["uri"] == store.uri(1)


def test_a_start_that_cannot_read_its_weights_says_why(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = f"{bucket}/SERVED.json"
    write_pointer(pointer, ServedWeights(1, f"{bucket}/1", "0" * 64))
    settings = InferenceSettings(model="nothing", engine="simulated", weights_pointer=pointer)

    with pytest.raises(ConfigError, match=f"{bucket}/1/manifest.json does not exist"):
        first_weights(settings, WeightsCache(tmp_path))
    become(monkeypatch, {"AWS_SECRET_ACCESS_KEY": "not-the-right-one"})
    code, error = outcome(*SIMULATED, "--weights-pointer", pointer)
    assert (code, "check the credentials" in error) == (64, True), error
    assert "not-the-right-one" not in error
    assert "Traceback" not in error


async def test_copies_on_the_disk_stay_few(bucket: str, tmp_path: Path, service: Service) -> None:
    store = open_store(bucket)
    for version in range(1, 7):
        digest = publish(store, version)
        await service.weights.stage(version, store.uri(version), digest)
        await service.weights.apply(version)
        assert len(list((tmp_path / "cache").iterdir())) <= 3

    assert await service.weights.rollback() == 5, "the one before is there"
    assert (await generate(service, GREETING))[0].weights_version == 5


async def test_a_copy_that_rots_is_fetched_again(
    bucket: str, tmp_path: Path, service: Service
) -> None:
    store = open_store(bucket)
    digest = publish(store, 1)
    await service.weights.stage(1, store.uri(1), digest)
    (tmp_path / "cache" / digest / "model.safetensors").write_bytes(b"rotten...")

    await service.weights.stage(1, store.uri(1), digest)

    assert (await service.weights.apply(1)).weights_version == 1


async def test_what_cannot_be_staged_leaves_the_old_weights_and_no_copy(
    bucket: str, s3: S3Server, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(bucket)
    digest = publish(store, 1)
    s3.files.pipe_file(f"{bucket}/1/model.safetensors", b"damaged..")

    with pytest.raises(CorruptDataError, match=rf"{bucket}/1/model\.safetensors has SHA-256"):
        await service.weights.stage(1, store.uri(1), digest)
    with pytest.raises(NotFoundError, match=f"{bucket}/2/manifest.json does not exist"):
        await service.weights.stage(2, store.uri(2), digest)
    become(monkeypatch, {"AWS_SECRET_ACCESS_KEY": "not-the-right-one"})
    with pytest.raises(FailedPreconditionError, match="check the credentials"):
        await service.weights.stage(1, store.uri(1), digest)

    assert list((tmp_path / "cache").iterdir()) == []
    assert (await generate(service, GREETING))[0].weights_version == 0


async def test_several_callers_wait_for_one_copy(
    bucket: str, tmp_path: Path, service: Service
) -> None:
    store = open_store(bucket)
    digests = {version: publish(store, version) for version in (1, 2)}

    await asyncio.gather(
        *(
            service.weights.stage(version, store.uri(version), digests[version])
            for version in (1, 2, 1, 2)
        )
    )

    assert (await service.weights.get()).staged_versions == (1, 2)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == set(digests.values())


async def test_a_caller_that_gives_up_waiting_finds_the_copy_that_went_on(
    bucket: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Versions of many gigabytes take longer than any deadline."""
    store = open_store(bucket)
    with store.writing(1) as folder:
        (folder / "model.safetensors").write_bytes(bytes(32 * 1024 * 1024))
        digest = seal(folder, version=1, parent=0, dtype="float32")

    with caplog.at_level("INFO", logger="services.inference.weights_cache"):
        with pytest.raises(UnavailableError):
            await service.weights.stage(1, store.uri(1), digest, deadline_s=0.1)
        await service.weights.stage(1, store.uri(1), digest)

    assert [record.message for record in caplog.records].count("weights_copied") == 1
    assert (await service.weights.apply(1)).weights_version == 1
