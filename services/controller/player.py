"""Playing one run against connected services, the same on every platform."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from services._server import semconv
from services.controller import oversight
from services.controller.book import RunBook
from services.controller.connections import Connections
from services.controller.metrics import round_ended, step_stored, weights_rolled
from services.controller.options import Settings
from services.controller.progress import Pace, Progress
from services.controller.retention import retain_weights
from services.controller.rolling import RejectedError, Rolled, roll
from services.controller.rounds.engine import RoundEngine, missing_steps
from services.controller.rounds.game import Game, HeldOut, Turn
from services.controller.rounds.meter import Meter
from services.controller.rounds.tracing import RoundTrace
from services.controller.steps import Step
from zeroloop.core import figures
from zeroloop.core.generation import WeightsState
from zeroloop.core.rounds import Episode, Round, RoundState, Stage
from zeroloop.core.runs import ConditionType, EventType
from zeroloop.errors import FailedPreconditionError, NotFoundError, UnavailableError
from zeroloop.weights_store import WeightsStore

PROGRESS_EVERY_S = 0.5

RETRY_S = 0.05
"""The trainer's figures of a round come this soon after its weights, or it has died."""

FAILURES_MAX = 10
"""Attempts in a row to play a step that may fail."""

METRICS_REMEMBERED = 5
"""Rounds whose figures the monitors compare with."""

CONTEXT_SHARE_MIN = 2
"""At least one part in this many of the context is left to prompts, however long responses
may be."""


class Player:
    """One run and the services that play it.

    Raises:
        FailedPreconditionError: The model can write more than the trainer may take.
    """

    def __init__(
        self,
        book: RunBook,
        settings: Settings,
        connections: Connections,
        heldout: Sequence[HeldOut],
        *,
        context_tokens: int,
        versions: WeightsStore,
    ) -> None:
        self._book = book
        self._versions = versions
        self._settings = settings
        self._connections = connections
        self._meter = Meter(time.monotonic)
        self._trace = RoundTrace(book.run.name, book.traceparent)
        self._pace = Pace(time.monotonic, book.run.spec.rounds)
        self._rejected = -1
        self._idle_s = 0.0
        self._failures = 0
        self._metrics: deque[Mapping[str, float]] = deque(maxlen=METRICS_REMEMBERED)
        self.game = self._make_game(heldout, context_tokens)
        self._engine = RoundEngine(self.game, self._trace, self._step_stored)

    @property
    def rejected(self) -> int:
        """Newest version that a replica refused; -1 if none."""
        return self._rejected

    async def round_index(self) -> int:
        """First round that is not over."""
        seeds = await self._opened(0)
        if seeds is None or seeds.state is RoundState.OPEN:
            return 0
        return min(await self.served()) + 1

    async def replicas(self) -> tuple[WeightsState, ...]:
        """What each replica serves, and whether it sleeps."""
        return tuple([await r.weights.get() for r in self._connections.replicas])

    async def served(self) -> tuple[int, ...]:
        """Version that each replica serves."""
        return tuple(state.weights_version for state in await self.replicas())

    async def published(self) -> int:
        """Newest version in the registry; -1 if none."""
        try:
            return (await self.game.buffer.weights.get(self.game.run)).version
        except NotFoundError:
            return -1

    async def trained(self, round_index: int) -> bool:
        """Whether the trainer has published a round's weights and reported its figures."""
        known = await self._opened(round_index)
        return known is not None and known.state is RoundState.TRAINED

    async def missing_steps(self, round_index: int) -> tuple[Step, ...]:
        """Steps of a round without a stored output."""
        return await missing_steps(self.game, round_index)

    async def evaluated(self, round_index: int) -> bool:
        """Whether the evaluation of a round is stored."""
        known = await self._opened(round_index)
        return known is not None and known.stage(Stage.EVALUATE) is not None

    async def play(self, round_index: int, step: Step) -> None:
        """Play and store a step.

        Raises:
            UnavailableError: A service stayed away for too long; play again.
            FailedPreconditionError: The round cannot be played with this model and settings.
        """
        self._pace.begin(round_index)
        self._pace.rounds = self._book.run.spec.rounds
        version = min(await self.served())
        self._note_stage(round_index, step)
        async with self._reporting():
            await self._play_bounded(Turn(round_index, version), step)
        if round_index == 0 and step is Step.COMMIT:
            self._end_round(await self.game.buffer.rounds.get(self.game.run, 0), None)
        if step is Step.PROPOSE:
            await self._look_at_proposals(round_index)

    async def _play_bounded(self, turn: Turn, step: Step) -> None:
        """Play a step; that the platform fails again and again is not bad luck any more."""
        try:
            await self._engine.play(turn, step)
        except UnavailableError as error:
            self._failures += 1
            if self._failures < FAILURES_MAX:
                raise
            raise FailedPreconditionError(
                f"{step} of round {turn.round} could not be played in {self._failures} attempts; "
                f"the last one failed with: {error}"
            ) from error
        self._failures = 0

    async def await_weights(self, version: int, limit_s: float) -> None:
        """Return when the round of `version` is trained, or when `limit_s` have passed."""
        self._note_stage(version, "train")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                watch = self.game.buffer.weights.watch(self.game.run, after_version=version - 1)
                async with contextlib.aclosing(watch):
                    async for weights in watch:
                        if weights.version >= version:
                            break
                while True:
                    if await self.trained(version):
                        return
                    await asyncio.sleep(RETRY_S)

    async def roll(self, version: int) -> None:
        """Make every replica serve `version`, or remember that it was refused.

        Raises:
            UnavailableError: A replica does not answer; roll again.
        """
        self._note_stage(version, "roll")
        weights = await self.game.buffer.weights.get(self.game.run, version)
        turn = Turn(version, max(version - 1, 0))
        parity_max = self._settings.play.inference.parity_max
        try:
            with self._trace.part(semconv.SPAN_WEIGHTS_ROLL, turn) as span:
                span.set_attribute(semconv.WEIGHTS_VERSION, version)
                span.set_attribute(semconv.WEIGHTS_BYTES, weights.size_bytes)
                rolled = await roll(self._connections.replicas, weights, parity_max=parity_max)
        except RejectedError as error:
            self._rejected = version
            self._book.emit(EventType.WARNING, str(error), round_index=version, stage="roll")
            return
        self._note_rolled(version, rolled)
        self._end_round(await self.game.buffer.rounds.get(self.game.run, version), rolled)
        await self._retain()

    async def sleep(self) -> None:
        """Make every replica let go of its device.

        Raises:
            UnavailableError: One does not answer; repeat it.
        """
        await asyncio.gather(*(r.weights.sleep() for r in self._connections.replicas))

    async def wake(self) -> None:
        """Give every replica its device back.

        Raises:
            UnavailableError: One does not answer; repeat it.
        """
        await asyncio.gather(*(r.weights.wake() for r in self._connections.replicas))

    def close(self) -> None:
        """The run is left."""
        self._trace.end()

    async def _opened(self, round_index: int) -> Round | None:
        """What is stored of a round; None before it is opened."""
        try:
            return await self.game.buffer.rounds.get(self.game.run, round_index)
        except NotFoundError:
            return None

    def _make_game(self, heldout: Sequence[HeldOut], context_tokens: int) -> Game:
        algorithm, play = self._settings.algorithm, self._settings.play
        self._settings.require_trainable(context_tokens)
        response = min(algorithm.response_tokens_max, context_tokens // CONTEXT_SHARE_MIN)
        return Game(
            run=self._book.run.name,
            seed=self._book.run.spec.seed,
            algorithm=algorithm,
            play=play,
            inference=self._connections.inference,
            reward=self._connections.reward,
            buffer=self._connections.buffer,
            meter=self._meter,
            prompt_tokens_max=min(algorithm.prompt_tokens_max, context_tokens - response),
            provenance=self._connections.provenance,
            heldout=heldout,
            generate_slots=asyncio.Semaphore(play.limits.generate_calls_max),
        )

    # ---- telling

    def _note_stage(self, round_index: int, stage: str) -> None:
        status = self._book.run.status
        if (status.round, status.stage) != (round_index, stage):
            self._book.set_status(replace(status, round=round_index, stage=str(stage)))

    def _step_stored(self, turn: Turn, step: Step, found: Mapping[str, float]) -> None:
        self._idle_s += found.get(figures.IDLE_S, 0.0)
        step_stored(self._book.run.name, step, found)
        kind = EventType.EVALUATION if step is Step.EVALUATE else EventType.STAGE
        if step is Step.EVALUATE:
            self._pace.evaluation_s = found[figures.DURATION_S]
        message = f"{step} stored after {found[figures.DURATION_S]:.1f} s"
        self._book.emit(kind, message, round_index=turn.round, stage=step, figures=found)
        for alert in oversight.failing_programs(_runs(found)):
            self._warn(turn.round, alert, step)

    @contextlib.asynccontextmanager
    async def _reporting(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._report_progress())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _report_progress(self) -> None:
        progress = Progress(self._meter)
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            step, found = progress.sample()
            remaining_s = self._pace.remaining_s()
            if remaining_s is not None:
                found[figures.REMAINING_S] = remaining_s
            self._book.emit(EventType.PROGRESS, "", stage=step or "", figures=found)

    def _note_rolled(self, version: int, rolled: Rolled) -> None:
        status = replace(self._book.run.status, weights_version=version)
        self._book.set_status(status)
        weights_rolled(version)
        message = (
            f"v{version} on {rolled.replicas} of {rolled.replicas} replicas, paused "
            f"{rolled.paused_s:.2f} s, parity {rolled.parity:.2g}"
        )
        found = {
            figures.WEIGHTS_VERSION: version,
            figures.PARITY: rolled.parity,
            figures.PAUSED_S: rolled.paused_s,
        }
        self._book.emit(
            EventType.WEIGHTS, message, round_index=version, stage="roll", figures=found
        )
        self._book.set_condition(
            ConditionType.WEIGHTS_SYNCED, status=True, reason="Rolled", message=message
        )

    def _end_round(self, known: Round, rolled: Rolled | None) -> None:
        wall_s = self._pace.end()
        # The trainer's wait for its batch is in neither; the step is all that it works.
        wait_s, _ = self._meter.lap()
        step_s = known.metrics.get(figures.STEP_S, 0.0)
        idle_s = self._idle_s + (max(0.0, wait_s - step_s) if rolled else 0.0)
        self._idle_s = 0.0
        metrics = {**known.metrics, figures.WALL_S: wall_s, figures.IDLE_S: min(idle_s, wall_s)}
        if figures.SOLVER_ACCURACY in metrics:
            accuracy = metrics[figures.SOLVER_ACCURACY]
            self._book.set_status(replace(self._book.run.status, solver_accuracy=accuracy))
        tasks = int(metrics.get(figures.TASKS, 0))
        self._book.set_status(replace(self._book.run.status, tasks=tasks, stage=""))
        trace_id = known.traceparent[3:35]  # of version-trace-span-flags
        message = (
            f"round {known.round}: {metrics.get(figures.ADMITTED, 0):.0f} tasks admitted, "
            f"trace {trace_id}"
        )
        self._book.emit(EventType.ROUND, message, round_index=known.round, figures=metrics)
        round_ended(self._book.run.name, metrics, seeds=known.round == 0)
        if known.round > 0:
            for alert in oversight.odd_metrics(metrics, self._metrics):
                self._warn(known.round, alert, "")
            self._metrics.append(known.metrics)
        self._trace.end()

    # ---- oversight

    async def _look_at_proposals(self, round_index: int) -> None:
        records = self.game.buffer.rounds.get_stage(self.game.run, round_index, Stage.PROPOSE)
        proposals = [record async for record in records if isinstance(record, Episode)]
        monitors = self._settings.play.oversight
        for alert in (
            *oversight.suspicious_words("keywords", proposals, monitors.keywords),
            *oversight.suspicious_words("attempts", proposals, monitors.attempts),
        ):
            self._warn(round_index, alert, Step.PROPOSE)

    def _warn(self, round_index: int, alert: oversight.Alert, stage: str) -> None:
        message = f"{alert.monitor}: {alert.message}"
        self._book.emit(EventType.WARNING, message, round_index=round_index, stage=stage)
        if self._settings.play.oversight.pause:
            self._book.set_spec(replace(self._book.run.spec, suspend=True))

    # ---- afterwards

    async def _retain(self) -> None:
        keep = self._settings.play.keep
        with contextlib.suppress(UnavailableError):
            await retain_weights(self.game.buffer, self.game.run, self._versions, keep=keep.weights)
            # The trainer may have to replay everything since its last checkpoint.
            replayed = 2 * self._settings.play.checkpoint.every_rounds
            keep_rounds = max(keep.rounds, replayed)
            await self.game.buffer.rounds.prune(self.game.run, keep_rounds=keep_rounds)


def _runs(found: Mapping[str, float]) -> dict[str, float]:
    prefix = f"{figures.RUNS}."
    return {name: value for name, value in found.items() if name.startswith(prefix)}
