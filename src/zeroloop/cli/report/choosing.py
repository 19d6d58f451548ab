"""Which invented tasks are worth showing. Pure."""

import ast
from collections.abc import Sequence

from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

HARD = 0.5
"""A task that the solver manages at most this often counts as hard."""

PROGRAM_CHARS_MAX = 1200
"""Longer programs do not fit on a card."""


def complexity(program: str) -> int:
    """Return the number of nodes of a program's syntax tree; 0 if it does not parse."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    return sum(1 for _ in ast.walk(tree))


def shape(program: str) -> str:
    """Return a program's structure: equal for programs that differ by names and constants."""
    try:
        nodes = ast.walk(ast.parse(program))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program
    return " ".join(type(node).__name__ for node in nodes)


def best_tasks(tasks: Sequence[StoredTask], per_kind: int) -> list[StoredTask]:
    """Return tasks that the solver sometimes managed, hard and rich ones first, by kind.

    Of programs with the same shape one is shown. If a kind has too few hard tasks, easier
    ones fill up.
    """
    chosen: list[StoredTask] = []
    shapes: set[str] = set()
    for kind in Kind:
        mine = [task for task in tasks if task.kind is kind and _is_showable(task)]
        taken = 0
        for task in sorted(mine, key=_interest, reverse=True):
            if taken < per_kind and (known := shape(task.program)) not in shapes:
                shapes.add(known)
                chosen.append(task)
                taken += 1
    return chosen


def _is_showable(task: StoredTask) -> bool:
    rate = first_rate(task)
    return rate is not None and 0 < rate < 1 and len(task.program) <= PROGRAM_CHARS_MAX


def _interest(task: StoredTask) -> tuple[bool, int, float]:
    rate = first_rate(task) or 0.0
    return rate <= HARD, complexity(task.program), 1 - rate


def first_rate(task: StoredTask) -> float | None:
    """How often the solver managed a task when it was new; None: never tried."""
    return task.observations[0].success_rate if task.observations else None


def solved_counts(tasks: Sequence[StoredTask]) -> list[int]:
    """Count new tasks by how many of their attempts solved them, 0 to all."""
    tried = [task.observations[0] for task in tasks if task.observations]
    attempts = max((observation.attempts for observation in tried), default=0)
    counts = [0] * (attempts + 1)
    for observation in tried:
        counts[round(observation.success_rate * attempts)] += 1
    return counts
