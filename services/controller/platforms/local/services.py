"""The four services of one run, started side by side and kept up."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from services.controller.platforms.local.commands import Commands
from services.controller.platforms.local.keeper import Keeper, Make, OnDeath, Policy, State
from zeroloop.core.batches import Weights
from zeroloop.core.runs import Endpoints

LIGHT = Policy(start_limit_s=60.0)
"""Services that start in seconds even on a busy machine."""

ENGINE = Policy(start_limit_s=600.0, restarts_max=5, window_s=3600.0)
"""A large model loads for minutes."""

FirstWeights = Callable[[Keeper], Awaitable[Weights | None]]
"""Finds, in the buffer, the version that inference starts from; None: the base model."""


@dataclass(frozen=True, slots=True)
class LocalServices:
    """The services of one run."""

    buffer: Keeper
    execution: Keeper
    reward: Keeper
    inference: Keeper

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """All of them."""
        return (self.buffer, self.execution, self.reward, self.inference)

    @property
    def state(self) -> State:
        """The worst state of any of them."""
        states = {keeper.state for keeper in self.keepers}
        if State.BROKEN in states:
            return State.BROKEN
        return State.READY if states == {State.READY} else State.STARTING

    @property
    def problems(self) -> str:
        """Why some are broken; empty if none is."""
        return "; ".join(keeper.problem for keeper in self.keepers if keeper.problem)

    @property
    def endpoints(self) -> Endpoints:
        """Where they listen."""
        return Endpoints(
            inference=self.inference.address,
            execution=self.execution.address,
            reward=self.reward.address,
            buffer=self.buffer.address,
        )

    async def settled(self) -> State:
        """Wait until all are ready or one is broken."""
        while self.state is State.STARTING:
            waits = [
                asyncio.create_task(keeper.settled())
                for keeper in self.keepers
                if keeper.state is State.STARTING
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return self.state


@contextlib.asynccontextmanager
async def running(
    commands: Commands, weights: FirstWeights, on_death: OnDeath, *, grace_s: float
) -> AsyncGenerator[LocalServices]:
    """Start the services and keep them up; end them with the block."""

    async def reward(port: int):  # noqa: ANN202
        return commands.reward(port, await execution.listening())

    async def inference(port: int):  # noqa: ANN202
        return commands.inference(port, await weights(buffer))

    buffer = Keeper("buffer", _fixed(commands.buffer), LIGHT, on_death)
    execution = Keeper("execution", _fixed(commands.execution_service), LIGHT, on_death)
    services = LocalServices(
        buffer=buffer,
        execution=execution,
        reward=Keeper("reward", reward, LIGHT, on_death),
        inference=Keeper("inference", inference, ENGINE, on_death),
    )
    tasks = [asyncio.create_task(k.run(), name=f"keep-{k.name}") for k in services.keepers]
    try:
        yield services
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(keeper.stop(grace_s) for keeper in services.keepers))


def _fixed(make: Callable[[int], object]) -> Make:
    async def made(port: int):  # noqa: ANN202
        return make(port)

    return made  # pyright: ignore[reportReturnType]
