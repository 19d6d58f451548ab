"""A run in a namespace: its engine and its trainer are pods, its rounds are played from here."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_never

import grpc.aio

from services._server import telemetry
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
    Trainer,
    WakeEngines,
)
from services.controller.platforms.flags import arguments, inference_flags, trainer_flags
from services.controller.platforms.kubernetes.api import Api
from services.controller.platforms.kubernetes.backends import Backend
from services.controller.platforms.kubernetes.engines import Engines
from services.controller.platforms.kubernetes.templates import PodTemplates
from services.controller.platforms.kubernetes.trainer import KubernetesTrainer
from services.controller.platforms.kubernetes.training_backends import TrainingBackend
from services.controller.platforms.kubernetes.training_objects import Order
from services.controller.platforms.kubernetes.weights_place import note, require, weights_place
from services.controller.platforms.kubernetes.workloads import Belonging, engine_name
from services.controller.platforms.observing import first_of, observed, unknown
from services.controller.player import Player
from services.controller.preparing import Prepared
from services.controller.run_spans import RunSpans
from zeroloop.client.channel import Access
from zeroloop.core.batches import Weights
from zeroloop.core.runs import ConditionType, Endpoints, EventType
from zeroloop.errors import FailedPreconditionError, NotFoundError, UnavailableError
from zeroloop.weights_pointer import FILE_NAME, ServedWeights
from zeroloop.weights_store import open_store, write_pointer

logger = logging.getLogger(__name__)

AWAIT_S = 20.0
"""How long one wait for new weights lasts before the world is looked at again."""

LOOK_S = 1.0
"""Between two looks at pods that start or end."""

_UID_FILE = "uid"
"""In a run's folder: of the object that it belongs to."""

START_S = 30.0
"""How long one wait for the first replica lasts before the world is looked at again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What all runs of a namespace share."""

    api: Api
    templates: PodTemplates
    backend: Backend
    """Who keeps the engines' replicas."""

    training: TrainingBackend
    """Who starts trainers."""

    labels: dict[str, str]
    """Of the release, for every object."""

    buffer: str
    reward: str
    execution: str
    """gRPC targets."""

    access: Access
    """To the services, and to every replica."""

    to_execution: Access
    token_file: Path
    """Where trainers find the token that they present."""

    weights_store: str
    """URL below which the versions of all runs go; empty: into the runs' folders."""

    gang_patience: timedelta
    """How long a training Job may hold nodes for some of its pods only."""

    spans: RunSpans


class KubernetesPlatform:
    """One run. What it starts belongs to the run's object and outlives this process."""

    def __init__(
        self, book: RunBook, prepared: Prepared, around: Surroundings, belonging: Belonging
    ) -> None:
        self._book = book
        self._prepared = prepared
        self._around = around
        self._belonging = belonging
        self._stack = AsyncExitStack()
        self._player: Player | None = None
        self._pointed_at = -1
        play = prepared.settings.play
        self._uid = str(belonging.owner["uid"])
        self._weights = weights_place(around.weights_store, book.folder, self._uid)
        self._pointer = f"{self._weights}/{FILE_NAME}"
        engine_flags = {
            **inference_flags(prepared.settings, prepared.model),
            "weights_pointer": self._pointer,
        }
        self._engines = Engines(
            around.api,
            belonging,
            around.backend,
            around.backend.object(
                belonging,
                around.templates.inference,
                arguments(engine_flags),
                play.inference.replicas,
            ),
            self._channel,
        )
        self._trainer = KubernetesTrainer(
            around.api,
            belonging,
            around.training,
            lambda attempt, last_round: Order(
                belonging=belonging,
                template=around.templates.trainer,
                arguments=self._trainer_arguments(last_round),
                attempt=attempt,
                last_round=last_round,
                nodes=play.training.nodes,
                queue=play.training.queue,
            ),
            self._warn,
            since=datetime.now(UTC),
            patience=around.gang_patience,
        )

    @property
    def endpoints(self) -> Endpoints:
        """Where the services listen, as pods of this cluster reach them."""
        around = self._around
        return Endpoints(
            inference=self._engines.target if self._engines.replicas else "",
            execution=around.execution,
            reward=around.reward,
            buffer=around.buffer,
        )

    @property
    def problem(self) -> str:
        """Why the engine or the trainer cannot be started; empty if they can."""
        return self._engines.problem or self._trainer.problem

    async def observe(self) -> Observed:
        """See `Platform.observe`."""
        services = await self._engines.look()
        player = self._player
        if services is not Services.READY or player is None:
            await self._trainer.look(None)
            if services is Services.READY:
                services = Services.STARTING  # Not connected yet: something is left to ensure.
            seen = unknown(services, self._trainer.state, self._trainer.failures)
            return replace(seen, trainer_waits=self._trainer.waiting)
        await self._trainer.look(self._newest)
        rounds = self._book.run.spec.rounds
        seen = await observed(player, self._trainer.state, self._trainer.failures, rounds)
        await self._point(player, seen.served)
        return replace(seen, trainer_waits=self._trainer.waiting)

    async def apply(self, action: Action) -> None:
        """See `Platform.apply`."""
        match action:
            case EnsureServices():
                await self._ensure_services()
            case EnsureTrainer(attempt, last_round):
                await self._trainer.ensure(attempt, last_round)
            case SleepEngines():
                await self._playing().sleep()
            case WakeEngines():
                await self._playing().wake()
            case AwaitTrainerEnd():
                await first_of(self._trainer_ended(), asyncio.sleep(AWAIT_S))
            case Play(round_index, step):
                await self._playing().play(round_index, step)
            case AwaitWeights(version):
                await first_of(
                    self._playing().await_weights(version, AWAIT_S), self._trainer_ended()
                )
            case Roll(version):
                await self._playing().roll(version)
            case Halt() | Pause():
                return
            case _:
                assert_never(action)

    async def rest(self, *, completed: bool) -> None:
        """See `RunPlatform.rest`."""
        await self._trainer.stop()
        if completed and self._prepared.settings.play.inference.keep_after_run:
            return
        await self._engines.remove()

    async def close(self) -> None:
        """Leave the run to whoever plays it next; its pods stay."""
        if self._player is not None:
            self._player.close()
        await self._engines.close()
        await self._stack.aclose()
        self._player = None

    # ---- services

    async def _ensure_services(self) -> None:
        """Bring up the engine, and beside it the trainer, which loads as long, unless it is to
        run for single segments of rounds only."""
        await asyncio.to_thread(self._make_folders)
        known = self._book.run.status.condition(ConditionType.INFERENCE_READY)
        if known is None or self._engines.waiting.reason:
            self._note_waiting()
        await self._engines.ensure()
        if not self._prepared.settings.play.training.segment_rounds:
            await self._trainer.ensure(self._trainer.failures)
        if await self._first_replica() and self._player is None:
            await self._connect()

    async def _first_replica(self) -> bool:
        """Wait for a while until one is ready; whether one is."""
        for _ in range(round(START_S / LOOK_S)):
            if await self._engines.look() is Services.READY:
                return True
            if self._engines.problem:
                break
            self._note_waiting()
            await asyncio.sleep(LOOK_S)
        return False

    def _note_waiting(self) -> None:
        ready, why = ConditionType.INFERENCE_READY, self._engines.waiting
        known = self._book.run.status.condition(ready)
        if why.reason and (known is None or known.reason != why.reason):
            self._warn(why.message)
        reason = why.reason or "Starting"
        self._book.set_condition(ready, status=False, reason=reason, message=why.message)

    def _make_folders(self) -> None:
        folder = self._book.folder
        folder.path.mkdir(parents=True, exist_ok=True)
        mark = folder.path / _UID_FILE
        if not mark.exists():
            note(folder, self._weights)
            mark.write_text(self._uid)
        if mark.read_text() != self._uid:
            # Its rounds are in the buffer, too: this run would go on where that one ended.
            raise FailedPreconditionError(
                f"an earlier run named {self._book.run.name} has left its data in {folder.path}; "
                "choose another name"
            )
        require(folder, self._weights)
        for path in (folder.weights, folder.checkpoints, folder.telemetry):
            path.mkdir(parents=True, exist_ok=True)

    async def _connect(self) -> None:
        # Whatever fails here is tried again soon, so it must leave nothing behind.
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(
                connect(
                    self.endpoints,
                    self._prepared.settings.algorithm,
                    self._around.access,
                    to_execution=self._around.to_execution,
                    replicas=self._engines.replicas,
                )
            )
            model = await connections.inference.get_model()
            stack.enter_context(self._around.spans.into(self._book.folder.telemetry))
            self._stack = stack.pop_all()
        self._player = Player(
            self._book,
            self._prepared.settings,
            connections,
            self._prepared.heldout,
            context_tokens=model.context_tokens,
            versions=open_store(self._weights),
        )
        ready, wanted = len(self._engines.replicas), self._engines.wanted
        self._book.emit(EventType.STATE, f"{ready} of {wanted} replicas ready")
        self._book.set_condition(
            ConditionType.INFERENCE_READY, status=True, reason="Serving", message=model.model
        )

    def _channel(self, target: str) -> grpc.aio.Channel:
        """To one replica, by the address of its pod."""
        service = f"{engine_name(self._belonging.run)}.{self._around.api.namespace}.svc"
        shown = self._around.access.by_address(service)
        return shown.channel(target, telemetry.client_interceptors())

    def _trainer_arguments(self, last_round: int) -> Sequence[str]:
        flags = trainer_flags(
            self._book.run,
            self._prepared.settings,
            self._book.folder,
            model=self._prepared.model,
            buffer=self._around.buffer,
            token_file=self._around.token_file,
            last_round=last_round,
        )
        own = {"weights_dir": self._weights, "telemetry_dir": self._book.folder.telemetry}
        return arguments({**flags, **own})

    def _warn(self, message: str) -> None:
        self._book.emit(EventType.WARNING, message)

    # ---- playing

    def _playing(self) -> Player:
        if self._player is None:
            raise UnavailableError("the services are not started")
        return self._player

    async def _newest(self) -> Weights | None:
        try:
            return await self._playing().game.buffer.weights.get(self._book.run.name)
        except NotFoundError:
            return None

    async def _point(self, player: Player, versions: Sequence[int]) -> None:
        """Name the version that every replica serves, for those that start later."""
        version = min(versions)
        if version in (0, self._pointed_at):
            return
        weights = await player.game.buffer.weights.get(self._book.run.name, version)
        served = ServedWeights(version, weights.uri, weights.manifest_digest)
        await asyncio.to_thread(write_pointer, self._pointer, served)
        self._pointed_at = version

    async def _trainer_ended(self) -> None:
        """Return when the trainer does not run any more."""
        while self._trainer.state is Trainer.RUNNING:
            await asyncio.sleep(LOOK_S)
            await self._trainer.look(self._newest)
