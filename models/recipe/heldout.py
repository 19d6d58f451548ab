"""The held-out tasks: fixed, and disjoint from every program the model is trained on."""

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from models.recipe.games import DOMAIN, task_of
from models.recipe.plays import draw_play
from models.recipe.settings import RecipeSettings
from zeroloop.core.tasks import Case, Kind, Task

HELD_OUT_NAME = "heldout.jsonl"

_SEED_OFFSET = 1


def draw_held_out(settings: RecipeSettings) -> list[Task]:
    """The held-out tasks of each kind, all different, drawn as the games of the pretraining are.

    A program may come up again with other inputs, as it may in self-play: few programs are short,
    so to ask for different ones would make a set of longer programs than any that the model met.
    """
    random = Random(settings.seed + _SEED_OFFSET)
    seen: set[tuple[str, tuple[Case, ...]]] = set()
    tasks: list[Task] = []
    for kind in Kind:
        inputs = settings.num_inputs if kind is Kind.INDUCTION else 1
        missing = settings.held_out_tasks
        while missing:
            play = draw_play(random, inputs=inputs, held_out=True)
            task = task_of(play, kind, random, settings)
            if (task.program, task.cases) in seen:
                continue
            seen.add((task.program, task.cases))
            tasks.append(task)
            missing -= 1
    return tasks


def task_to_json(task: Task) -> str:
    """One line of `heldout.jsonl`."""
    return json.dumps(
        {
            "kind": task.kind.value,
            "program": task.program,
            "imports": list(task.imports),
            "cases": [{"input": case.input, "output": case.output} for case in task.cases],
            "message": task.message,
            "shown": task.shown,
        }
    )


def task_from_json(line: str) -> Task:
    """The task of one line of `heldout.jsonl`."""
    fields = json.loads(line)
    return Task(
        domain=DOMAIN,
        kind=Kind(fields["kind"]),
        program=fields["program"],
        cases=tuple(Case(case["input"], case["output"]) for case in fields["cases"]),
        imports=tuple(fields["imports"]),
        message=fields["message"],
        shown=fields["shown"],
    )


def write_held_out(folder: Path, tasks: Iterable[Task]) -> None:
    """Write `heldout.jsonl`."""
    text = "".join(f"{task_to_json(task)}\n" for task in tasks)
    (folder / HELD_OUT_NAME).write_text(text)


def read_held_out(folder: Path) -> list[Task]:
    """The tasks of `heldout.jsonl`."""
    lines = (folder / HELD_OUT_NAME).read_text().splitlines()
    return [task_from_json(line) for line in lines]
