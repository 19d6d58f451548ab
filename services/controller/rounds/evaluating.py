"""Evaluate: sampled answers to held-out tasks, with the same seeds every time."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from services.controller.rounds.answering import Answer, Question, answer
from services.controller.rounds.game import DOMAIN, Game, HeldOut, Turn
from services.controller.rounds.prompting import are_short, render
from services.controller.rounds.streams import Relay
from services.controller.steps import Step
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.generation import Prompt, Sampling
from zeroloop.core.judging import PromptSpec
from zeroloop.core.rounds import Episode
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task
from zeroloop.errors import InvalidRequestError, invalid

FILE_NAME = "heldout.jsonl"
"""Beside a model: its own held-out tasks."""


def read_heldout(path: Path, tasks_per_kind: int) -> list[HeldOut]:
    """Read held-out tasks, the first `tasks_per_kind` of each kind.

    One JSON object per line: `kind`, `program`, `cases` (objects with `input` and `output`),
    and optionally `imports`, `message`, `shown`, `name`.

    Raises:
        InvalidRequestError: The file cannot be read; names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid("spec.heldout", f"{path} cannot be read: {error}") from error
    found: dict[Kind, list[HeldOut]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            heldout = _heldout(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{path}, line {number} is no task: {error!r}"
            raise invalid("spec.heldout", problem) from error
        if len(found[heldout.task.kind]) < tasks_per_kind:
            name = heldout.name or f"heldout-{number}"
            found[heldout.task.kind].append(HeldOut(name=name, task=heldout.task))
    if not found:
        raise InvalidRequestError(f"spec.heldout: {path} holds no task")
    return [heldout for kind in Kind for heldout in found[kind]]


def _heldout(fields: Mapping[str, Any]) -> HeldOut:
    task = Task(
        domain=fields.get("domain", DOMAIN),
        kind=Kind(fields["kind"]),
        program=fields["program"],
        cases=tuple(Case(case["input"], case["output"]) for case in fields["cases"]),
        imports=tuple(fields.get("imports", ())),
        message=fields.get("message", ""),
        shown=fields.get("shown", 0),
    )
    return HeldOut(name=str(fields.get("name", "")), task=task)


async def evaluate(game: Game, turn: Turn, out: Relay[Episode]) -> None:
    """Put the answers to each held-out task into `out`, as they become known."""
    tally = game.meter.restart(Step.EVALUATE)
    kept = [h for h in game.heldout if h.task.kind in game.algorithm.kinds]
    specs = [PromptSpec(kind=h.task.kind, role=Role.SOLVER, task=h.task) for h in kept]
    texts = await render(game, specs)
    short = await are_short(game, turn, texts)
    samples = game.play.evaluate.samples
    asked = [
        (index * samples + sample, heldout, text, sample)
        for index, (heldout, text, ok) in enumerate(zip(kept, texts, short, strict=True))
        for sample in range(samples)
        if ok
    ]
    tally.total = len(asked)
    questions = [
        Question(heldout.task, Prompt(text=text, seed=_seed(game, heldout, sample)))
        for _, heldout, text, sample in asked
    ]

    def note(given: Answer) -> None:
        index, heldout, _, _ = asked[given.question]
        out.put(_episode(index, heldout, questions[given.question], given))

    sampling = Sampling(max_tokens=game.algorithm.response_tokens_max)
    await answer(game, turn, questions, sampling, require_format=True, tally=tally, note=note)


def _seed(game: Game, heldout: HeldOut, sample: int) -> int:
    """It does not depend on the round, so that before and after differ by the weights alone."""
    purpose = (Step.EVALUATE, heldout.name)
    return game.dice(*purpose, sample) if sample else game.dice(*purpose)


def accuracy_figures(episodes: Sequence[Episode]) -> dict[str, float]:
    """Held-out accuracy and number of tasks by kind, over the answers whose outcome is known."""
    by: dict[Kind, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for episode in episodes:
        if episode.outcome is not Outcome.NOT_EXECUTED:
            by[episode.kind][episode.task_id].append(episode.accuracy)
    found: dict[str, float] = {}
    for kind, tasks in by.items():
        found[by_kind(figures.HELDOUT_ACCURACY, kind)] = mean(map(mean, tasks.values()))
        found[by_kind(figures.HELDOUT_TASKS, kind)] = len(tasks)
    return found


def _episode(index: int, heldout: HeldOut, question: Question, given: Answer) -> Episode:
    completion, judgement = given.completion, given.judgement
    return Episode(
        index=index,
        kind=heldout.task.kind,
        role=Role.SOLVER,
        prompt_token_ids=completion.prompt_token_ids,
        token_ids=completion.token_ids,
        text=completion.text,
        finish_reason=completion.finish_reason,
        weights_version=completion.weights_version,
        seed=question.prompt.seed or 0,
        task_id=heldout.name,
        outcome=judgement.outcome,
        accuracy=judgement.accuracy if judgement.outcome is Outcome.CORRECT else 0.0,
        format_ok=judgement.format_ok,
    )
