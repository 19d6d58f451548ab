"""Which tasks of a buffer are read. Tasks are named by their position, oldest first.

A buffer is described by the insertion step of each of its tasks in order; seeds have step 0.
Every function is determined by its arguments and the state of the seeded generator.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from random import Random

ReferenceStrategy: TypeAlias = Literal["uniform", "step"]
SolverStrategy: TypeAlias = Literal["max_new", "half_new", "uniform_total", "step"]


def draw_references(
    steps: Sequence[int], count: int, rng: "Random", strategy: ReferenceStrategy = "uniform"
) -> list[int]:
    """Draw up to `count` different tasks as examples for a proposer.

    `uniform`: every task alike. `step`: weight = insertion step + 1.

    Returns:
        min(count, buffer size) different positions, in random order.
    """
    count = min(count, len(steps))
    if strategy == "uniform":
        return rng.sample(range(len(steps)), count)
    # Efraimidis and Spirakis 2006: weighted, without replacement, in one pass.
    keys = [(rng.random() ** (1 / (step + 1)), index) for index, step in enumerate(steps)]
    return [index for _, index in sorted(keys, reverse=True)[:count]]


def draw_program(sizes: Sequence[int], rng: "Random") -> tuple[int, int]:
    """Draw the program of an induction proposal from several buffers laid end to end.

    Duplicates count, so a seed that lies in two buffers is drawn twice as often.

    Args:
        sizes: Number of tasks of each buffer, abduction and deduction.
        rng: Seeded generator.

    Returns:
        (buffer, position in it).

    Raises:
        ValueError: If all buffers are empty.
    """
    if sum(sizes) < 1:
        raise ValueError("an induction proposal needs a program, but all buffers are empty")
    position = rng.randrange(sum(sizes))
    for buffer, size in enumerate(sizes):
        if position < size:
            return buffer, position
        position -= size
    raise AssertionError("unreachable")


def count_new(steps: Sequence[int], step: int, window: int) -> int:
    """How many tasks were added at steps >= `step` - `window`.

    A window of 1 means the step before alone, or all seeds at step 1. A window of 0 means the
    same step, as the paper says.
    """
    return sum(added >= step - window for added in steps)


def draw_solver_tasks(
    steps: Sequence[int],
    count: int,
    rng: "Random",
    *,
    new: int,
    strategy: SolverStrategy = "max_new",
    is_eligible: Callable[[int], bool] = lambda _: True,
) -> list[int]:
    """Draw the tasks that the solver is trained on.

    `max_new`: as many of the newest `new` tasks as there are, the rest from the whole buffer,
    each part without replacement. `half_new`: the same with at most half new. `uniform_total`:
    all from the whole buffer. `step`: with replacement, weight = insertion step.

    Positions that are not eligible are skipped and their places filled by drawing again, with
    replacement, from those accepted.

    Args:
        steps: Insertion steps of the buffer.
        count: Tasks wanted.
        rng: Seeded generator.
        new: How many of the last tasks are new, see `count_new`.
        strategy: See above.
        is_eligible: Whether the prompt of the task at a position fits its limit.

    Returns:
        `count` positions, possibly repeated; empty if nothing is eligible.
    """
    if strategy == "step":
        drawn = _draw_by_step(steps, count, rng)
    else:
        share = {"max_new": count, "half_new": count // 2, "uniform_total": 0}[strategy]
        newest = range(len(steps) - new, len(steps))
        drawn = rng.sample(newest, min(new, share))
        drawn += rng.sample(range(len(steps)), min(count - len(drawn), len(steps)))
    accepted = [index for index in drawn if is_eligible(index)]
    if not accepted:
        accepted = [index for index in range(len(steps)) if is_eligible(index)]
        accepted = rng.sample(accepted, min(count, len(accepted)))
    if not accepted:
        return []
    return accepted + rng.choices(accepted, k=count - len(accepted))


def _draw_by_step(steps: Sequence[int], count: int, rng: "Random") -> list[int]:
    if not steps:
        return []
    weights = steps if any(steps) else [1] * len(steps)
    return rng.choices(range(len(steps)), weights, k=count)


def draw_until(
    draw: Callable[[], list[int]], fits: Callable[[list[int]], bool], attempts_max: int
) -> list[int] | None:
    """Draw again until the prompt fits its limit, at most `attempts_max` times.

    Returns:
        What fits, or None: the caller then shrinks the prompt or leaves the place empty.
    """
    for _ in range(attempts_max):
        drawn = draw()
        if fits(drawn):
            return drawn
    return None


def reservoir(size: int, limit: int, rng: "Random") -> set[int]:
    """Positions, of `size` tasks ever admitted, that a buffer of `limit` tasks holds.

    Every set of `limit` positions is as likely as any other. With a generator of the same seed
    what a smaller size gave is what a larger one goes on from, so a task that has left never
    comes back. Vitter 1985, algorithm R: task i takes a place with chance limit / i.
    """
    held = list(range(min(size, limit)))
    for position in range(limit, size):
        place = rng.randrange(position + 1)
        if place < limit:
            held[place] = position
    return set(held)
