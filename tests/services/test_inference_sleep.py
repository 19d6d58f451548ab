"""An engine that shares its device, over a real wire: it sleeps, refuses, wakes, goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.simulated_inference import GREETING, Service, generate
from tests.services.test_inference_weights import publish
from zeroloop.errors import FailedPreconditionError, UnavailableError


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(may_sleep=True).running() as running:
        await running.until(lambda: bool(running.engines))
        yield running


async def test_a_sleeping_engine_refuses_calls_and_goes_on_where_it_was(
    service: Service, tmp_path: Path
) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.stage(1, str(tmp_path / "1"), digest)
    await service.weights.apply(1)
    before = await generate(service, GREETING)

    await service.weights.sleep()

    assert (await service.weights.get()).asleep
    with pytest.raises(UnavailableError, match="sleeps"):
        await generate(service, GREETING)
    with pytest.raises(UnavailableError, match="sleeps"):
        await service.weights.apply(1)
    # Whoever connects to it now still learns what it is, and probes leave it alone.
    assert (await service.client.get_model()).weights_version == 1
    assert await service.is_serving()

    await service.weights.wake()

    assert not (await service.weights.get()).asleep
    after = await generate(service, GREETING)
    assert [c.text for c in after] == [c.text for c in before]
    assert after[0].weights_version == 1


async def test_sleeping_twice_is_sleeping_once_and_so_is_waking(service: Service) -> None:
    await service.weights.wake()
    for _ in range(2):
        await service.weights.sleep()
    for _ in range(2):
        await service.weights.wake()

    assert (await generate(service, GREETING))[0].weights_version == 0


async def test_weights_can_be_verified_while_it_sleeps(service: Service, tmp_path: Path) -> None:
    digest = publish(tmp_path / "1", 1)
    await service.weights.sleep()

    await service.weights.stage(1, str(tmp_path / "1"), digest)
    await service.weights.wake()

    assert (await service.weights.apply(1)).weights_version == 1


async def test_sleep_waits_for_running_calls() -> None:
    async with Service(may_sleep=True, tokens_per_s=40).running() as service:
        await service.until(lambda: bool(service.engines))
        running = asyncio.create_task(generate(service, GREETING))
        await asyncio.sleep(0.1)

        await service.weights.sleep()

        # Its end and our answer come on two streams; on its own it would take much longer.
        await asyncio.wait({running}, timeout=0.2)
        assert running.done()
        assert (await running)[0].text


async def test_an_engine_that_dies_asleep_comes_back_awake(service: Service) -> None:
    await service.weights.sleep()
    service.engine.kill()
    await service.until(lambda: len(service.engines) == 2)

    assert not (await service.weights.get()).asleep
    assert await generate(service, GREETING)


async def test_a_service_that_was_not_started_for_it_does_not_sleep() -> None:
    async with Service().running() as service:
        await service.until(lambda: bool(service.engines))

        with pytest.raises(FailedPreconditionError, match="--sleep-mode"):
            await service.weights.sleep()

        assert await generate(service, GREETING)
