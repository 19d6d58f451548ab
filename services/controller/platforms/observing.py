"""What the platforms that play for real have in common: looking at the player, waiting for it."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from services.controller.decide import Observed, Services, Trainer
from services.controller.player import Player
from services.controller.steps import steps_of


def unknown(services: Services, trainer: Trainer, failures: int) -> Observed:
    """What can be said of a run while its services do not run."""
    return Observed(
        services=services,
        trainer=trainer,
        trainer_failures=failures,
        round_index=0,
        steps_missing=steps_of(0),
        trained=False,
        served=(),
        rejected=-1,
        evaluated=False,
    )


async def observed(player: Player, trainer: Trainer, failures: int, rounds: int) -> Observed:
    """What is true of a run whose services answer.

    Raises:
        UnavailableError: One of them does not.
    """
    round_index = await player.round_index()
    playable = round_index <= rounds
    replicas = await player.replicas()
    return Observed(
        services=Services.READY,
        trainer=trainer,
        trainer_failures=failures,
        round_index=round_index,
        steps_missing=await player.missing_steps(round_index) if playable else (),
        trained=await player.trained(round_index),
        served=tuple(state.weights_version for state in replicas),
        rejected=player.rejected,
        asleep=sum(state.asleep for state in replicas),
        evaluated=await player.evaluated(rounds),
    )


async def first_of(*awaitables: Awaitable[Any]) -> None:
    """Return when one of them is done; the others are cancelled.

    Raises:
        Exception: What the first one raised.
    """
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
