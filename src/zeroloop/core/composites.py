"""Composite programs: proposals that must build on programs of the buffer (D17).

Each of those programs becomes a function `g_0`, `g_1`, ... and is put in front of the proposal,
whose own `f` must call all of them. Source: arXiv:2505.03335, and docs/reference/algorithm.md.
"""

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zeroloop.core import programs
from zeroloop.core.renaming import bound_names, with_entry_point
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Task

if TYPE_CHECKING:
    from random import Random

SCHEDULE_START = 101
"""First step at which the schedule raises what it governs."""

SCHEDULE_STEPS = 50
"""Steps from one rise to the next."""

CHANCE_RISE = 0.01
CHANCE_CAP = 0.8


@dataclass(frozen=True, slots=True)
class Composites:
    """The functions that a proposal must build on."""

    imports: tuple[str, ...]
    sources: tuple[str, ...]
    """Of `g_0`, `g_1`, ... in this order."""

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(_name(index) for index in range(len(self.sources)))


def draw_count(step: int, settings: AlgorithmSettings, rng: "Random") -> int:
    """How many programs a proposal of `step` must build on; 0: it need not."""
    start = settings.composite_start_step
    if not 0 <= start <= step or rng.random() >= chance(step, settings):
        return 0
    return rng.randint(1, count_max(step, settings))


def count_max(step: int, settings: AlgorithmSettings) -> int:
    """Most programs that a proposal of `step` may have to build on, at least 1."""
    limit = settings.composite_programs_max
    if settings.composite_schedule:
        limit = min(1 + _rises(step), limit)
    return limit if settings.composite_count == "inclusive" else max(1, limit - 1)


def chance(step: int, settings: AlgorithmSettings) -> float:
    """How likely a proposal of `step` is to be a composite one, from the first such step on."""
    begun = settings.composite_chance
    if not settings.composite_schedule:
        return begun
    return max(begun, min(begun + CHANCE_RISE * _rises(step), CHANCE_CAP))


def functions_of(tasks: Sequence[Task]) -> Composites:
    """Make the programs of `tasks` functions that others can call.

    Only the entry points are renamed: where two programs define a helper of the same name, the
    later one holds for both.

    Raises:
        ValueError: If a program has no function `f`.
    """
    imports = dict.fromkeys(line for task in tasks for line in task.imports)
    sources = [with_entry_point(task.program, _name(index)) for index, task in enumerate(tasks)]
    return Composites(imports=tuple(imports), sources=tuple(sources))


def composed(task: Task, composites: Composites) -> Task:
    """The task with the composites in front of its program."""
    return replace(
        task,
        program="\n\n".join((*composites.sources, task.program)),
        imports=tuple(dict.fromkeys((*composites.imports, *task.imports))),
        composites=composites.sources,
    )


def problem(program: str, imports: Sequence[str], composites: Composites) -> str:
    """Why a proposed program does not build on `composites`; empty if it does.

    A program that does not parse has other problems.
    """
    tree = programs.parse(program)
    if tree is None:
        return ""
    if redefined := set(composites.names) & bound_names([tree], nested=True):
        return f"{', '.join(sorted(redefined))} must not be redefined"
    entries = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "f"]
    if not entries:
        return "there is no function f at the top level"
    calls = [call for call in ast.walk(entries[-1]) if _called(call) in composites.names]
    if missing := set(composites.names) - {_called(call) for call in calls}:
        return f"f must call {', '.join(sorted(missing))}"
    around = "\n".join((*composites.imports, *imports, *composites.sources))
    known = _names_at_top(programs.parse(around)) | _names_at_top(tree)
    known |= bound_names([entries[-1]], nested=True) | set(dir(builtins))
    unknown = {name for call in calls for name in _names_passed(call)} - known
    if unknown and "*" not in known:
        return f"f passes {', '.join(sorted(unknown))}, which nothing defines"
    return ""


def _name(index: int) -> str:
    return f"g_{index}"


def _rises(step: int) -> int:
    return 0 if step < SCHEDULE_START else 1 + (step - SCHEDULE_START) // SCHEDULE_STEPS


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id
    return ""


def _names_at_top(tree: ast.Module | None) -> set[str]:
    return set() if tree is None else bound_names(tree.body)


def _names_passed(call: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(call)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
