"""Which tasks a request draws: from named strategies to the algorithm's functions."""

import random
from collections.abc import Sequence

from zeroloop.core import sampling
from zeroloop.core.stored_tasks import Strategy


def draw(
    strategy: Strategy,
    rounds: Sequence[int],
    *,
    count: int,
    draws: int,
    seed: int,
    before_round: int,
    window_rounds: int,
) -> list[list[int]]:
    """Draw positions of a buffer, `draws` times independently.

    Args:
        strategy: How to draw. UNIFORM and STEP draw at most what there is; the others repeat tasks
            when the buffer is smaller than `count`, STEP_REPEATED at any time.
        rounds: Round of admission of each task, in the order of admission.
        count: Positions per draw.
        draws: Number of draws.
        seed: Of all draws together.
        before_round: The round that asks; 0: the one after the newest task's.
        window_rounds: How many rounds before that count as new.
    """
    rng = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    match strategy:
        case Strategy.UNIFORM:
            return [sampling.draw_references(rounds, count, rng) for _ in range(draws)]
        case Strategy.STEP:
            return [sampling.draw_references(rounds, count, rng, "step") for _ in range(draws)]
        case Strategy.STEP_REPEATED:
            return [
                sampling.draw_solver_tasks(rounds, count, rng, new=0, strategy="step")
                for _ in range(draws)
            ]
        case Strategy.MAX_NEW | Strategy.HALF_NEW:
            step = before_round or max(rounds, default=0) + 1
            new = sampling.count_new(rounds, step, window_rounds)
            name = "max_new" if strategy is Strategy.MAX_NEW else "half_new"
            return [
                sampling.draw_solver_tasks(rounds, count, rng, new=new, strategy=name)
                for _ in range(draws)
            ]
