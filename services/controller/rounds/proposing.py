"""Propose: draw references, ask for new tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.controller.rounds.asking import patiently
from services.controller.rounds.composing import draw_composites
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.generating import generate
from services.controller.rounds.prompting import Rendered, fitting
from services.controller.rounds.sources import Sources
from services.controller.rounds.streams import Relay
from services.controller.steps import Step
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.judging import PromptSpec
from zeroloop.core.rounds import Episode
from zeroloop.core.stored_tasks import StoredTask, Strategy
from zeroloop.core.tasks import Kind, Role, Task
from zeroloop.errors import FailedPreconditionError

PROGRAM_KINDS = (Kind.ABDUCTION, Kind.DEDUCTION)
"""Whose programs induction proposals describe."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a proposer is shown."""

    spec: PromptSpec
    task_id: str = ""
    reference_task_ids: tuple[str, ...] = ()
    composite_task_ids: tuple[str, ...] = ()


async def propose(game: Game, turn: Turn, sources: Sources, out: Relay[Episode]) -> None:
    """Put one proposal per place of every kind into `out`, as they finish.

    There are none in the steps that train the solver alone.
    """
    tally = game.meter.restart(Step.PROPOSE)
    places = await _plan(game, turn) if turn.round > game.algorithm.solve_only_steps else []
    for place in places:
        spec = place.draw.spec
        for task in (*filter(None, [spec.task]), *spec.composites):
            sources.remember(task)
    tally.total = len(places)
    prompts = [
        Prompt(text=r.text, seed=game.dice(turn.round, Step.PROPOSE, index))
        for index, r in enumerate(places)
    ]

    async def deliver(index: int, completion: Completion) -> None:
        tally.done += 1
        out.put(_episode(index, places[index].draw, prompts[index].seed or 0, completion))

    await generate(game, turn, prompts, sampling(game), tally=tally, deliver=deliver)


def sampling(game: Game) -> Sampling:
    """How responses are drawn that are trained on."""
    algorithm = game.algorithm
    return Sampling(
        max_tokens=algorithm.response_tokens_max,
        temperature=algorithm.temperature,
        top_p=algorithm.top_p,
        top_k=algorithm.top_k,
        logprobs=True,
    )


async def _plan(game: Game, turn: Turn) -> list[Rendered[Drawn]]:
    plan: list[Rendered[Drawn]] = []
    for kind in game.algorithm.kinds:

        async def draw(attempt: int, places: Sequence[int], kind: Kind = kind) -> list[Drawn]:
            seed = game.dice(turn.round, Step.PROPOSE, kind, "references", attempt)
            if kind is Kind.INDUCTION:
                return await _draw_programs(game, turn, len(places), seed)
            drawn = await _draw_references(game, turn, kind, len(places), seed)
            composites = await draw_composites(game, turn, kind, attempt, places)
            return [_building_on(*pair) for pair in zip(drawn, composites, strict=True)]

        prompts = await fitting(game, turn, game.algorithm.samples_per_group, draw)
        if not prompts:
            raise FailedPreconditionError(
                f"no {kind} proposer prompt of round {turn.round} fits into "
                f"{game.prompt_tokens_max} tokens; raise prompt_tokens_max, lower references or "
                "response_tokens_max, or use a model with a longer context"
            )
        plan += prompts
    return plan


async def _draw_references(
    game: Game, turn: Turn, kind: Kind, draws: int, seed: int
) -> list[Drawn]:
    algorithm = game.algorithm
    if not algorithm.include_references or algorithm.references == 0:
        return [Drawn(PromptSpec(kind=kind, role=Role.PROPOSER))] * draws
    sample = await patiently(
        lambda: game.buffer.tasks.sample(
            game.run,
            [kind],
            Strategy(algorithm.reference_strategy),
            algorithm.references,
            seed=seed,
            draws=draws,
            before_round=turn.round,
        ),
        game.patience(),
    )
    return [_with_references(kind, sample.draw(index)) for index in range(len(sample.draws))]


async def _draw_programs(game: Game, turn: Turn, draws: int, seed: int) -> list[Drawn]:
    kinds = [kind for kind in game.algorithm.kinds if kind in PROGRAM_KINDS] or PROGRAM_KINDS
    sample = await patiently(
        lambda: game.buffer.tasks.sample(
            game.run,
            kinds,
            Strategy.UNIFORM,
            1,
            seed=seed,
            draws=draws,
            before_round=turn.round,
        ),
        game.patience(),
    )
    programs = [sample.draw(index)[0] for index in range(len(sample.draws)) if sample.draw(index)]
    return [
        Drawn(
            PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=program.task),
            task_id=program.task.task_id,
        )
        for program in programs
    ]


def _with_references(kind: Kind, references: Sequence[StoredTask]) -> Drawn:
    tasks = tuple(stored.task for stored in references)
    return Drawn(
        PromptSpec(kind=kind, role=Role.PROPOSER, references=tasks),
        reference_task_ids=tuple(task.task_id for task in tasks),
    )


def _building_on(drawn: Drawn, composites: tuple[Task, ...]) -> Drawn:
    return replace(
        drawn,
        spec=replace(drawn.spec, composites=composites),
        composite_task_ids=tuple(task.task_id for task in composites),
    )


def _episode(index: int, drawn: Drawn, seed: int, completion: Completion) -> Episode:
    return Episode(
        index=index,
        kind=drawn.spec.kind,
        role=Role.PROPOSER,
        prompt_token_ids=completion.prompt_token_ids,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        text=completion.text,
        finish_reason=completion.finish_reason,
        weights_version=completion.weights_version,
        seed=seed,
        task_id=drawn.task_id,
        reference_task_ids=drawn.reference_task_ids,
        composite_task_ids=drawn.composite_task_ids,
    )
