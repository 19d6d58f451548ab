"""Playing the steps of a round, one after the other or overlapping.

Each step stores its output, ordered by index, before the next one may store its own. So a
round can be left at any moment and is resumed at its first missing step, and overlapping
stores the same records as playing in turn.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from services._server import semconv
from services.controller.rounds.asking import patiently
from services.controller.rounds.committing import commit, commit_seeds
from services.controller.rounds.evaluating import accuracy_figures, evaluate
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.meter import Tally
from services.controller.rounds.records import read_records
from services.controller.rounds.rewarding import reward
from services.controller.rounds.seeding import is_seeded, seed
from services.controller.rounds.streams import Relay, together
from services.controller.rounds.table import OVERLAPPING, Table
from services.controller.rounds.tracing import RoundTrace
from services.controller.steps import Step, steps_of
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.rounds import Episode, Record, RoundState, Stage, StageSummary
from zeroloop.errors import FailedPreconditionError, NotFoundError, UnavailableError

SPANS = {
    Step.SEED: semconv.SPAN_SEED,
    Step.EVALUATE: semconv.SPAN_EVALUATE,
    Step.PROPOSE: semconv.SPAN_PROPOSE,
    Step.VALIDATE: semconv.SPAN_VALIDATE,
    Step.ESTIMATE: semconv.SPAN_ESTIMATE,
    Step.SOLVE: semconv.SPAN_SOLVE,
    Step.REWARD: semconv.SPAN_REWARD,
    Step.COMMIT: semconv.SPAN_COMMIT,
}

INPUT_STAGES = (Stage.PROPOSE, Stage.VALIDATE, Stage.ESTIMATE, Stage.SOLVE)

Report = Callable[[Turn, Step, Mapping[str, float]], None]
"""Is told that a step is stored, and its figures."""


async def missing_steps(game: Game, round_index: int) -> tuple[Step, ...]:
    """Return the steps of a round whose output is not stored, in order."""
    try:
        known = await game.buffer.rounds.get(game.run, round_index)
    except NotFoundError:
        return steps_of(round_index)
    if known.state is not RoundState.OPEN:
        return ()
    done = {summary.stage.value for summary in known.stages}
    if round_index == 0 and await is_seeded(game):
        done.add(Step.SEED.value)
    if round_index == 0 and not game.heldout:
        done.add(Step.EVALUATE.value)
    return tuple(step for step in steps_of(round_index) if step.value not in done)


class RoundEngine:
    """Plays one run's rounds, step by step."""

    def __init__(self, game: Game, trace: RoundTrace, report: Report) -> None:
        self._game = game
        self._trace = trace
        self._report = report

    async def play(self, turn: Turn, step: Step) -> None:
        """Play and store `step`, and with overlap those that can be played beside it.

        Raises:
            UnavailableError: A service stayed away for too long; play again.
            FailedPreconditionError: The round cannot be played with this model and settings.
        """
        await self._open(turn)
        self._game.meter.lap()
        missing = await missing_steps(self._game, turn.round)
        match step:
            case Step.EVALUATE:
                await self._evaluate(turn)
            case _ if step not in missing:
                return
            case Step.SEED:
                await self._seed(turn)
            case Step.REWARD:
                await self._reward(turn)
            case Step.COMMIT:
                await self._commit(turn)
            case _ if self._game.play.pipeline.overlap:
                await self._stream(turn, [s for s in missing if s in OVERLAPPING])
            case _:
                await self._stream(turn, [step])

    async def _open(self, turn: Turn) -> None:
        rounds, run = self._game.buffer.rounds, self._game.run
        try:
            known = await rounds.get(run, turn.round)
        except NotFoundError:
            traceparent = self._trace.begin(turn)
            version = turn.weights_version
            await rounds.open(run, turn.round, weights_version=version, traceparent=traceparent)
        else:
            over = known.state is not RoundState.OPEN
            go_on = self._trace.join if over else self._trace.begin
            go_on(turn, known.traceparent)

    async def _seed(self, turn: Turn) -> None:
        started_s = self._game.meter.clock()
        with self._trace.part(SPANS[Step.SEED], turn):
            await seed(self._game, turn)
        self._report(turn, Step.SEED, self._figures(Step.SEED, started_s))

    async def _evaluate(self, turn: Turn) -> None:
        relay: Relay[Episode] = Relay()
        started_s = self._game.meter.clock()
        with self._trace.part(SPANS[Step.EVALUATE], turn):
            await evaluate(self._game, turn, relay)
            episodes = sorted(relay.items, key=lambda episode: episode.index)
            accuracies = accuracy_figures(episodes)
            found = await self._store(turn, Step.EVALUATE, episodes, started_s, accuracies)
        self._report(turn, Step.EVALUATE, found)

    async def _reward(self, turn: Turn) -> None:
        started_s = self._game.meter.clock()
        self._game.meter.restart(Step.REWARD)
        with self._trace.part(SPANS[Step.REWARD], turn):
            records = await read_records(self._game, turn, *INPUT_STAGES)
            rewards = await reward(self._game, records)
            if not rewards:
                raise FailedPreconditionError(
                    f"round {turn.round} has nothing to train on: none of its "
                    f"{len(records.proposals) + len(records.solutions)} responses has a token and "
                    "a reward; begin a new run from earlier weights, with a lower learning_rate"
                )
            found = await self._store(turn, Step.REWARD, rewards, started_s)
        self._report(turn, Step.REWARD, found)

    async def _commit(self, turn: Turn) -> None:
        started_s = self._game.meter.clock()
        self._game.meter.restart(Step.COMMIT)
        with self._trace.part(SPANS[Step.COMMIT], turn):
            if turn.round == 0:
                await commit_seeds(self._game)
            else:
                records = await read_records(self._game, turn, *INPUT_STAGES, Stage.REWARD)
                await commit(self._game, turn, records)
        self._report(turn, Step.COMMIT, self._figures(Step.COMMIT, started_s))

    async def _stream(self, turn: Turn, steps: Sequence[Step]) -> None:
        table = Table(self._game, turn)
        await table.load_inputs(steps)
        stored_before = asyncio.Event()
        stored_before.set()
        async with together() as group:
            for step in steps:
                stored = asyncio.Event()
                group.create_task(self._stream_step(turn, step, table, stored_before, stored))
                stored_before = stored

    async def _stream_step(
        self, turn: Turn, step: Step, table: Table, before: asyncio.Event, stored: asyncio.Event
    ) -> None:
        started_s = self._game.meter.clock()
        with self._trace.part(SPANS[step], turn) as span:
            await table.work(step)
            await before.wait()
            records = table.records(step)
            span.set_attribute(semconv.BATCH_SIZE, len(records))
            found = await self._store(turn, step, records, started_s)
        stored.set()
        self._report(turn, step, found)

    async def _store(
        self,
        turn: Turn,
        step: Step,
        records: Sequence[Record],
        started_s: float,
        more: Mapping[str, float] | None = None,
    ) -> dict[str, float]:
        game = self._game
        _refuse_hollow(game, step, game.meter.tally(step))
        found = {**self._figures(step, started_s), **(more or {})}
        summary = StageSummary(
            stage=Stage(step.value),
            records=len(records),
            duration_s=found[figures.DURATION_S],
            figures=found,
        )
        rounds = game.buffer.rounds
        await patiently(
            lambda: rounds.put_stage(game.run, turn.round, summary, records), game.patience()
        )
        return found

    def _figures(self, step: Step, started_s: float) -> dict[str, float]:
        meter = self._game.meter
        tally = meter.tally(step)
        wall_s, idle_s = meter.lap()
        runs = {by_kind(figures.RUNS, status): float(n) for status, n in tally.runs.items()}
        return {
            figures.DURATION_S: meter.clock() - started_s,
            figures.TOKENS: float(tally.tokens),
            figures.NOT_EXECUTED: float(tally.not_executed),
            figures.WALL_S: wall_s,
            figures.IDLE_S: idle_s,
            **runs,
        }


def _refuse_hollow(game: Game, step: Step, tally: Tally) -> None:
    """Rather play a step again than train on what little of it the platform did not lose.

    A step of which nothing is left is never stored: a round could end up without a batch, and
    what is stored stays.
    """
    share = tally.not_executed / tally.total if tally.total else 0.0
    if share == 1 or share > game.play.limits.not_executed_ratio_max:
        raise UnavailableError(
            f"{step}: the platform failed on {tally.not_executed} of {tally.total} episodes"
        )
