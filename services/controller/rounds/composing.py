"""Which proposals must build on which programs of the buffer (D17)."""

from collections.abc import Sequence

from services.controller.rounds.asking import patiently
from services.controller.rounds.dice import dice
from services.controller.rounds.game import Game, Turn
from services.controller.steps import Step
from zeroloop.core.composites import draw_count
from zeroloop.core.stored_tasks import Strategy
from zeroloop.core.tasks import Kind, Task


async def draw_composites(
    game: Game, turn: Turn, kind: Kind, attempt: int, places: Sequence[int]
) -> list[tuple[Task, ...]]:
    """Return for each place the tasks whose programs its proposal must call; none: it need not.

    Programs that build on others themselves are left out, or they would grow without end.
    """
    purpose = (turn.round, Step.PROPOSE, kind, "composites", attempt)
    counts = [
        draw_count(turn.round, game.algorithm, dice(game.seed, *purpose, place)) for place in places
    ]
    if not any(counts):
        return [()] * len(counts)
    sample = await patiently(
        lambda: game.buffer.tasks.sample(
            game.run,
            [kind],
            Strategy.UNIFORM,
            max(counts),
            seed=game.dice(*purpose),
            draws=len(counts),
            before_round=turn.round,
            without_composites=True,
        ),
        game.patience(),
    )
    return [
        tuple(stored.task for stored in sample.draw(index)[:count])
        for index, count in enumerate(counts)
    ]
