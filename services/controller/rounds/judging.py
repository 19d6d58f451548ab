"""Judge: what became of each answer."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from services.controller.rounds.asking import REPEATS_MAX, ask_each
from services.controller.rounds.game import Game
from services.controller.rounds.meter import Tally
from zeroloop.core.judging import Judgement, Solution
from zeroloop.core.tasks import Outcome


async def judge(
    game: Game, solutions: Sequence[Solution], tally: Tally, note: Callable[[Judgement], None]
) -> None:
    """Hand each answer's judgement to `note`, once.

    Answers that the platform failed on are tried again a few times.
    """
    tries: Counter[str] = Counter()

    async def call(pending: Sequence[Solution]) -> AsyncGenerator[Judgement]:
        with game.meter.sandbox():
            async with aclosing(game.reward.judge(pending)) as judgements:
                async for judgement in judgements:
                    yield judgement

    def answered(judgement: Judgement) -> str | None:
        name = judgement.solution_id
        tally.count_runs(judgement.runs)
        tries[name] += 1
        failed = judgement.outcome is Outcome.NOT_EXECUTED
        if failed and tries[name] < REPEATS_MAX:
            return None
        tally.done += 1
        tally.not_executed += failed
        note(judgement)
        return name

    pending = {solution.solution_id: solution for solution in solutions}
    await ask_each(pending, call, answered=answered, patience=game.patience())
