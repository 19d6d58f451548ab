"""A run on one machine: observes and moves child processes and the round that they play."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import assert_never

from services.controller.book import RunBook
from services.controller.connections import connect
from services.controller.decide import (
    Action,
    AwaitTrainerEnd,
    AwaitWeights,
    EnsureServices,
    EnsureTrainer,
    Halt,
    Observed,
    Pause,
    Play,
    Roll,
    Services,
    SleepEngines,
    WakeEngines,
)
from services.controller.options import Settings
from services.controller.platforms.local.commands import Commands
from services.controller.platforms.local.keeper import Keeper, State
from services.controller.platforms.local.process import EXIT_CONFIG
from services.controller.platforms.local.services import LocalServices, running
from services.controller.platforms.local.trainer import LocalTrainer
from services.controller.platforms.observing import first_of, observed, unknown
from services.controller.player import Player
from services.controller.rounds.game import HeldOut
from services.controller.run_spans import RunSpans
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access
from zeroloop.client.token import read_token
from zeroloop.core import figures
from zeroloop.core.batches import Weights
from zeroloop.core.figures import by_kind
from zeroloop.core.runs import ConditionType, Endpoints, EventType
from zeroloop.errors import NotFoundError, UnavailableError
from zeroloop.weights_store import FolderStore

STOP_GRACE_S = 2.5
"""From asking a child to end until it is made to. All of them end side by side, so that a
run stops within 5 s."""

AWAIT_S = 20.0
"""How long one wait for new weights lasts before the world is looked at again."""

TRAINER_READY_S = 60.0
"""How long the first round waits for a trainer that loads. It would take the processor from
the engine; a large model on other devices does not, and loads on meanwhile."""

_STATES = {
    State.STARTING: Services.STARTING,
    State.READY: Services.READY,
    State.BROKEN: Services.BROKEN,
}


class LocalPlatform:
    """One run. Everything it starts ends with `close`."""

    def __init__(
        self,
        book: RunBook,
        settings: Settings,
        commands: Commands,
        heldout: Sequence[HeldOut],
        spans: RunSpans,
    ) -> None:
        self._book = book
        self._settings = settings
        self._commands = commands
        self._heldout = heldout
        self._spans = spans
        self._stack = AsyncExitStack()
        self._services: LocalServices | None = None
        self._player: Player | None = None
        self._trainer = LocalTrainer(commands, self._on_death)

    @property
    def endpoints(self) -> Endpoints:
        """Where the services listen; empty before they are started."""
        return Endpoints() if self._services is None else self._services.endpoints

    @property
    def problem(self) -> str:
        """Why a service or the trainer cannot be started; empty if they can."""
        broken = "" if self._services is None else self._services.problems
        return broken or self._trainer.problem

    @property
    def pids(self) -> dict[str, int]:
        """Processes by name."""
        keepers = () if self._services is None else self._services.keepers
        found = {keeper.name: keeper.pid for keeper in keepers}
        return {name: pid for name, pid in {**found, "trainer": self._trainer.pid}.items() if pid}

    async def observe(self) -> Observed:
        """See `Platform.observe`."""
        services = self._state()
        player, rounds = self._player, self._book.run.spec.rounds
        if services is not Services.READY or player is None:
            return unknown(services, self._trainer.state, self._trainer.failures)
        await self._trainer.look(player.published)
        return await observed(player, self._trainer.state, self._trainer.failures, rounds)

    async def apply(self, action: Action) -> None:
        """See `Platform.apply`."""
        match action:
            case EnsureServices():
                await self._ensure_services()
            case EnsureTrainer(attempt, last_round):
                await self._trainer.ensure(self.endpoints.buffer, attempt, last_round)
            case SleepEngines():
                await self._playing().sleep()
            case WakeEngines():
                await self._playing().wake()
            case AwaitTrainerEnd():
                await first_of(self._trainer.ended.wait(), asyncio.sleep(AWAIT_S))
            case Play(round_index, step):
                await self._playing().play(round_index, step)
            case AwaitWeights(version):
                await self._await_weights(version)
            case Roll(version):
                await self._playing().roll(version)
            case Halt() | Pause():
                return
            case _:
                assert_never(action)

    async def rest(self, *, completed: bool) -> None:
        """See `RunPlatform.rest`: the services stay up, to be read from."""
        await self._trainer.stop(STOP_GRACE_S)

    async def close(self) -> None:
        """End every child, side by side."""
        if self._player is not None:
            self._player.close()
        await asyncio.gather(self._trainer.stop(STOP_GRACE_S), self._stack.aclose())
        self._services = self._player = None

    # ---- services

    def _state(self) -> Services:
        if self._services is None:
            return Services.ABSENT
        state = _STATES[self._services.state]
        # Ready but not connected yet: there is something left to ensure.
        if state is Services.READY and self._player is None:
            return Services.STARTING
        return state

    async def _ensure_services(self) -> None:
        if self._services is None:
            self._stack.enter_context(self._spans.into(self._commands.folder.telemetry))
            children = running(
                self._commands, self._first_weights, self._on_death, grace_s=STOP_GRACE_S
            )
            self._services = await self._stack.enter_async_context(children)
            address = await self._services.buffer.listening()
            if not self._settings.play.training.segment_rounds:
                # It loads beside the engine. Later it would slow down the first round.
                await self._trainer.ensure(address, self._trainer.failures)
        state = await self._services.settled()
        if state is State.READY:
            await self._trainer.ready(TRAINER_READY_S)
        if state is State.READY and self._player is None:
            await self._connect(self._services)

    async def _connect(self, services: LocalServices) -> None:
        access = Access(read_token(self._commands.token_file))
        opened = connect(services.endpoints, self._settings.algorithm, access)
        connections = await self._stack.enter_async_context(opened)
        model = await connections.inference.get_model()
        self._player = Player(
            self._book,
            self._settings,
            connections,
            self._heldout,
            context_tokens=model.context_tokens,
            versions=FolderStore(self._book.folder.weights),
        )
        started = {
            by_kind(figures.STARTED_S, keeper.name): keeper.started_s for keeper in services.keepers
        }
        self._book.emit(EventType.STATE, "services are ready", figures=started)
        self._book.set_condition(
            ConditionType.INFERENCE_READY, status=True, reason="Serving", message=model.model
        )

    async def _first_weights(self, buffer: Keeper) -> Weights | None:
        """The newest version that was rolled out, for an engine that starts.

        A published version that was not rolled out yet must pass the gate of a roll first.
        """
        run = self._book.run
        if not run.status.weights_version:
            return None
        access = Access(read_token(self._commands.token_file))
        async with access.channel(await buffer.listening()) as channel:
            weights = BufferClient(channel).weights
            with contextlib.suppress(NotFoundError):  # the database was removed
                return await weights.get(run.name, run.status.weights_version)
        return None

    def _on_death(self, name: str, code: int, last_words: str) -> None:
        if code == EXIT_CONFIG:
            return  # It refuses its settings, and the run ends with its words.
        why = f": {last_words}" if last_words else ""
        self._book.emit(EventType.WARNING, f"{name} ended unasked with code {code}{why}")

    # ---- playing

    def _playing(self) -> Player:
        if self._player is None:
            raise UnavailableError("the services are not started")
        return self._player

    async def _await_weights(self, version: int) -> None:
        """Return when there are weights, or the trainer has ended, or after a while."""
        await first_of(self._playing().await_weights(version, AWAIT_S), self._trainer.ended.wait())
