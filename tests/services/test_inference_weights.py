"""Weights over a real wire: staged, applied, refused, taken back; the engine is simulated."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.simulated_inference import GREETING, Service, generate
from zeroloop.core.manifest import ProbeSequence
from zeroloop.errors import (
    CorruptDataError,
    FailedPreconditionError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from zeroloop.weights_folder import building, seal, write_probe


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service().running() as running:
        await running.until(lambda: bool(running.engines))
        yield running


def publish(folder: Path, version: int, *, probe_logprob: float | None = None) -> str:
    with building(folder) as draft:
        (draft / "model.safetensors").write_bytes(b"w" * 100)
        if probe_logprob is not None:
            write_probe(draft, (ProbeSequence((1, 7), 1, (probe_logprob,)),))
        return seal(draft, version=version, parent=0, dtype="float32")


TRUE_LOGPROB = -0.25
"""What the simulated engine says of token 7."""


async def test_weights_are_staged_applied_and_taken_back(service: Service, tmp_path: Path) -> None:
    digest = publish(tmp_path / "1", 1, probe_logprob=TRUE_LOGPROB + 5e-4)

    verified = await service.weights.stage(1, str(tmp_path / "1"), digest)
    assert verified == sum(path.stat().st_size for path in (tmp_path / "1").iterdir())
    assert (await service.weights.get()).staged_versions == (1,)
    assert (await generate(service, GREETING))[0].weights_version == 0

    applied = await service.weights.apply(1)
    assert applied.weights_version == 1
    assert applied.parity == pytest.approx(5e-4, rel=1e-3)
    assert 0 < applied.paused_s < 1
    assert (await generate(service, GREETING))[0].weights_version == 1
    assert (await service.client.get_model()).weights_version == 1
    assert (await service.weights.get()).previous_version == 0

    assert await service.weights.rollback() == 0
    assert (await generate(service, GREETING))[0].weights_version == 0
    assert (await service.weights.get()).previous_version is None
    with pytest.raises(FailedPreconditionError, match="no version to go back to"):
        await service.weights.rollback()


async def test_applying_twice_is_applying_once(service: Service, tmp_path: Path) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, (tmp_path / "1").as_uri(), digest)
    assert (await service.weights.apply(1)).parity == -1
    assert (await service.weights.apply(1)).paused_s == 0
    assert (await service.weights.get()).previous_version == 0


async def test_a_corrupt_file_is_named_and_the_old_weights_go_on(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1)
    (tmp_path / "1" / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CorruptDataError, match=r"model\.safetensors"):
        await service.weights.stage(1, str(tmp_path / "1"), digest)
    with pytest.raises(FailedPreconditionError, match="version 1 is not staged"):
        await service.weights.apply(1)
    assert (await generate(service, GREETING))[0].weights_version == 0


async def test_files_that_change_after_staging_are_not_loaded(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    (tmp_path / "1" / "model.safetensors").write_bytes(b"y" * 100)
    with pytest.raises(CorruptDataError, match="changed after they were staged"):
        await service.weights.apply(1)
    assert (await service.weights.get()).weights_version == 0


async def test_a_missing_folder_and_a_wrong_version_are_named(
    service: Service, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        await service.weights.stage(1, str(tmp_path / "none"), "0" * 64)
    with pytest.raises(FailedPreconditionError, match="no store speaks 'nfs'"):
        await service.weights.stage(1, "nfs://server/1", "0" * 64)
    digest = publish(tmp_path / "1", 1)
    with pytest.raises(CorruptDataError, match="holds version 1"):
        await service.weights.stage(2, str(tmp_path / "1"), digest)
    with pytest.raises(CorruptDataError, match="registry"):
        await service.weights.stage(1, str(tmp_path / "1"), "0" * 64)


async def test_values_out_of_range_are_named(service: Service) -> None:
    with pytest.raises(InvalidRequestError, match="manifest_digest"):
        await service.weights.stage(1, "/weights", "")
    with pytest.raises(InvalidRequestError, match="weights_version"):
        await service.weights.stage(-1, "/weights", "0" * 64)
    for parity_max in (-1.0, float("nan")):
        with pytest.raises(InvalidRequestError, match="parity_max"):
            await service.weights.apply(1, parity_max=parity_max)


async def test_weights_that_disagree_with_the_trainer_are_taken_back(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1, probe_logprob=TRUE_LOGPROB + 0.01)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    with pytest.raises(FailedPreconditionError, match=r"differ .* 0\.01 nats .* version 0 stays"):
        await service.weights.apply(1)
    assert (await generate(service, GREETING))[0].weights_version == 0
    assert (await service.weights.apply(1, parity_max=0.02)).weights_version == 1


async def test_weights_that_do_not_load_leave_the_old_ones(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    service.engine.broken_folders.add(str(tmp_path / "1"))
    with pytest.raises(InternalError, match="did not load"):
        await service.weights.apply(1)
    assert (await generate(service, GREETING))[0].weights_version == 0
    assert len(service.engines) == 1


async def test_an_engine_left_without_weights_is_started_again(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    service.engine.broken_folders |= {str(tmp_path / "1"), "base"}
    with pytest.raises(InternalError, match="did not load"):
        await service.weights.apply(1)
    await service.until(lambda: len(service.engines) == 2)
    assert (await generate(service, GREETING))[0].weights_version == 0
    assert (await service.weights.apply(1)).weights_version == 1


async def test_a_restarted_engine_has_the_newest_weights(service: Service, tmp_path: Path) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    await service.weights.apply(1)
    service.engine.kill()
    await service.until(lambda: len(service.engines) == 2)
    assert (await generate(service, GREETING))[0].weights_version == 1


async def test_a_change_waits_for_running_calls_and_later_ones_wait_for_it(tmp_path: Path) -> None:
    async with Service(tokens_per_s=20).running() as service:
        await service.until(lambda: bool(service.engines))
        digest = publish(tmp_path / "1", 1)
        await service.weights.stage(1, str(tmp_path / "1"), digest)
        old = asyncio.create_task(generate(service, GREETING, n=3))
        await service.until(lambda: service.gate._running == 1)
        change = asyncio.create_task(service.weights.apply(1))
        await service.until(lambda: not service.gate._open.is_set())
        new = asyncio.create_task(generate(service, GREETING, n=3))

        assert {c.weights_version for c in await old} == {0}
        assert (await change).weights_version == 1
        assert {c.weights_version for c in await new} == {1}


async def test_a_caller_that_gives_up_waiting_leaves_the_service_as_it_was(tmp_path: Path) -> None:
    async with Service(tokens_per_s=10).running() as service:
        await service.until(lambda: bool(service.engines))
        digest = publish(tmp_path / "1", 1)
        await service.weights.stage(1, str(tmp_path / "1"), digest)
        call = asyncio.create_task(generate(service, GREETING))
        await service.until(lambda: service.gate._running == 1)
        with pytest.raises(UnavailableError):
            await service.weights.apply(1, deadline_s=0.1)
        await service.until(service.gate._open.is_set)
        assert (await call)[0].weights_version == 0
        assert (await service.weights.get()).weights_version == 0
