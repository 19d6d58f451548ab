"""The figures of a model: valid and distinct proposals, solver accuracy, learnability."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

from models.recipe.games import ZERO_TASKS, task_of
from models.recipe.play import Player, Proposed, of_kind, solve_rate
from models.recipe.plays import draw_play
from models.recipe.settings import RecipeSettings
from zeroloop.core.judging import PromptSpec
from zeroloop.core.tasks import Kind, Role, Task

PROPOSALS = 256
"""Proposals of each kind."""

LEARNABILITY_TASKS = 48
"""Valid proposals of each kind that are solved `ROLLOUTS` times."""

ROLLOUTS = 8

_SEED_OFFSET = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class KindFigures:
    """What a model does in one kind. Shares are in [0, 1]."""

    solved: float
    """Held-out tasks solved when sampled at temperature 1."""

    solved_greedily: float
    thinking: float
    """Sampled answers with reasoning before them."""

    solved_thinking: float
    solved_directly: float
    solver_format: float
    solver_tokens: float
    """Mean length of a response."""

    valid: float
    """Sampled proposals that become a task."""

    distinct: float
    """Different ones among the valid."""

    proposer_format: float
    proposer_tokens: float

    own_solved: float
    """Rollouts that solve the model's own proposals."""

    learnable: float
    """Own proposals solved in some but not all rollouts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a model does in each kind."""

    kinds: dict[Kind, KindFigures]

    valid_from_zero: float
    """Valid proposals when the only reference is the item that every run starts from."""

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def measure(player: Player, held_out: Sequence[Task], settings: RecipeSettings) -> Figures:
    """Play the held-out tasks and some proposals; the same model gives the same figures."""
    kinds = {kind: _measure_kind(player, of_kind(held_out, kind), kind, settings) for kind in Kind}
    zero = ZERO_TASKS[Kind.DEDUCTION]
    spec = PromptSpec(kind=Kind.DEDUCTION, role=Role.PROPOSER, references=(zero,))
    from_zero = player.propose([spec] * PROPOSALS, seed=settings.seed)
    return Figures(kinds=kinds, valid_from_zero=_valid(from_zero))


def _measure_kind(
    player: Player, held_out: Sequence[Task], kind: Kind, settings: RecipeSettings
) -> KindFigures:
    seed = settings.seed
    sampled = player.solve(held_out, seed=seed)
    greedy = player.solve(held_out, seed=seed, greedy=True)
    proposed = player.propose(_proposal_specs(kind, settings), seed=seed)
    tasks = [proposal.task for proposal in proposed if proposal.task is not None]
    rates = _own_rates(player, tasks[:LEARNABILITY_TASKS], seed)
    thinking = [answer for answer in sampled if answer.thinks]
    direct = [answer for answer in sampled if not answer.thinks]
    return KindFigures(
        solved=solve_rate(sampled),
        solved_greedily=solve_rate(greedy),
        thinking=len(thinking) / len(sampled),
        solved_thinking=solve_rate(thinking),
        solved_directly=solve_rate(direct),
        solver_format=_mean([answer.outcome != "malformed" for answer in sampled]),
        solver_tokens=_mean([answer.num_tokens for answer in sampled]),
        valid=_valid(proposed),
        distinct=len({_identity(task) for task in tasks}) / max(1, len(tasks)),
        proposer_format=_mean([proposal.format_ok for proposal in proposed]),
        proposer_tokens=_mean([proposal.num_tokens for proposal in proposed]),
        own_solved=_mean(rates),
        learnable=_mean([0 < rate < 1 for rate in rates]),
    )


def _proposal_specs(kind: Kind, settings: RecipeSettings) -> list[PromptSpec]:
    """Prompts as a run makes them, on programs of the grammar instead of a buffer's."""
    random = Random(settings.seed + _SEED_OFFSET)

    def draw() -> Task:
        play = draw_play(random, inputs=1)
        return task_of(play, Kind.DEDUCTION, random, settings)

    if kind is Kind.INDUCTION:
        return [PromptSpec(kind=kind, role=Role.PROPOSER, task=draw()) for _ in range(PROPOSALS)]
    return [
        PromptSpec(
            kind=kind,
            role=Role.PROPOSER,
            references=tuple(draw() for _ in range(settings.num_references)),
        )
        for _ in range(PROPOSALS)
    ]


def _own_rates(player: Player, tasks: Sequence[Task], seed: int) -> list[float]:
    attempts = [task for task in tasks for _ in range(ROLLOUTS)]
    solved = player.solve(attempts, seed=seed)
    return [
        solve_rate(solved[start : start + ROLLOUTS]) for start in range(0, len(solved), ROLLOUTS)
    ]


def _identity(task: Task) -> object:
    if task.kind is Kind.INDUCTION:
        return (task.program, task.cases, task.message)
    return task.program


def _valid(proposed: Sequence[Proposed]) -> float:
    return _mean([proposal.task is not None for proposal in proposed])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
