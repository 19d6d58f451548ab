"""Solve: tasks of the buffer, answered and judged; trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.controller.rounds.answering import Answer, Question, answer
from services.controller.rounds.asking import patiently
from services.controller.rounds.dice import dice
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.prompting import Rendered, fitting
from services.controller.rounds.proposing import sampling
from services.controller.rounds.streams import Relay, Source
from services.controller.steps import Step
from zeroloop.core.generation import Prompt
from zeroloop.core.judging import PromptSpec
from zeroloop.core.rounds import Episode, StoredVerdict
from zeroloop.core.stored_tasks import Strategy
from zeroloop.core.tasks import Kind, Role, Task
from zeroloop.errors import FailedPreconditionError

STRATEGIES = {
    "max_new": Strategy.MAX_NEW,
    "half_new": Strategy.HALF_NEW,
    "uniform_total": Strategy.UNIFORM,
    "step": Strategy.STEP_REPEATED,
}
"""The algorithm's names for the buffer's strategies."""

EVERYTHING_MAX = 1_000_000
"""Items taken at once where all of them are wanted."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    spec: PromptSpec
    proposal_index: int = 0

    @property
    def task(self) -> Task:
        assert self.spec.task is not None
        return self.spec.task


async def solve(
    game: Game, turn: Turn, verdicts: Source[StoredVerdict], out: Relay[Episode]
) -> None:
    """Put one judged answer per place of every kind into `out`, as they become known.

    Tasks come from earlier rounds, or, with `same_step_tasks`, first from this one: then
    the verdicts are awaited.
    """
    tally = game.meter.restart(Step.SOLVE)
    fresh = await _fresh(game, verdicts) if game.algorithm.same_step_tasks else {}
    places: list[Rendered[_Drawn]] = []
    for kind in game.algorithm.kinds:
        places += await _plan(game, turn, kind, fresh.get(kind, []))
    tally.total = len(places)
    questions = [
        Question(
            place.draw.task,
            Prompt(text=place.text, seed=game.dice(turn.round, Step.SOLVE, index)),
        )
        for index, place in enumerate(places)
    ]

    def note(given: Answer) -> None:
        place = places[given.question].draw
        out.put(_episode(place, questions[given.question], given))

    await answer(game, turn, questions, sampling(game), require_format=True, tally=tally, note=note)


async def _fresh(game: Game, verdicts: Source[StoredVerdict]) -> dict[Kind, list[_Drawn]]:
    known: list[StoredVerdict] = []
    while taken := await verdicts.take(EVERYTHING_MAX):
        known += taken
    fresh: dict[Kind, list[_Drawn]] = {}
    for verdict in sorted(known, key=lambda v: v.index):
        if verdict.task is not None and not game.is_held_out(verdict.task):
            fresh.setdefault(verdict.task.kind, []).append(_drawn(verdict.task, verdict.index))
    return fresh


def _drawn(task: Task, proposal_index: int = 0) -> _Drawn:
    return _Drawn(PromptSpec(kind=task.kind, role=Role.SOLVER, task=task), proposal_index)


async def _plan(
    game: Game, turn: Turn, kind: Kind, fresh: Sequence[_Drawn]
) -> list[Rendered[_Drawn]]:
    count = game.algorithm.samples_per_group

    async def draw(attempt: int, places: Sequence[int]) -> list[_Drawn]:
        seed = game.dice(turn.round, Step.SOLVE, kind, "tasks", attempt)
        drawn = await _from_buffer(game, turn, kind, len(places), seed)
        if attempt > 0 or not fresh:
            return drawn
        rng = dice(game.seed, turn.round, Step.SOLVE, kind, "fresh")
        first = rng.sample(fresh, min(count, len(fresh)))
        return [*first, *drawn][:count]

    prompts = await fitting(game, turn, count, draw)
    if not prompts:
        raise FailedPreconditionError(
            f"no {kind} solver prompt of round {turn.round} fits into {game.prompt_tokens_max} "
            "tokens; raise prompt_tokens_max, lower response_tokens_max, or use a model with a "
            "longer context"
        )
    return prompts


async def _from_buffer(game: Game, turn: Turn, kind: Kind, count: int, seed: int) -> list[_Drawn]:
    algorithm = game.algorithm
    strategy = STRATEGIES[algorithm.solver_strategy]
    if algorithm.same_step_tasks:
        strategy = Strategy.UNIFORM  # The new ones come first; the rest is a top-up.
    sample = await patiently(
        lambda: game.buffer.tasks.sample(
            game.run,
            [kind],
            strategy,
            count,
            seed=seed,
            before_round=turn.round,
            window_rounds=algorithm.past_epoch_window,
        ),
        game.patience(),
    )
    return [_drawn(stored.task) for stored in sample.draw(0)]


def _episode(place: _Drawn, question: Question, given: Answer) -> Episode:
    completion, judgement = given.completion, given.judgement
    return Episode(
        index=given.question,
        kind=question.task.kind,
        role=Role.SOLVER,
        prompt_token_ids=completion.prompt_token_ids,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        text=completion.text,
        finish_reason=completion.finish_reason,
        weights_version=completion.weights_version,
        seed=question.prompt.seed or 0,
        task_id=question.task.task_id,
        outcome=judgement.outcome,
        accuracy=judgement.accuracy,
        format_ok=judgement.format_ok,
        proposal_index=place.proposal_index,
    )
