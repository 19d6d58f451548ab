"""Games of the grammar: what the platform would ask, and a good response.

The prompts come from the reward service's own domain, so that the model is trained on exactly the
text that it will be asked with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from models.recipe.plays import Play, draw_message, draw_play
from models.recipe.programs import Program, Step
from models.recipe.settings import RecipeSettings
from services.controller.rounds.zero import zero_task
from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import PromptSpec
from zeroloop.core.tasks import Case, Kind, Role, Task

DOMAIN = "code"

ZERO_TASKS = {kind: zero_task(kind) for kind in Kind}
"""The items that every run starts from, which a young buffer has as its only references."""

ZERO_MESSAGE = ZERO_TASKS[Kind.INDUCTION].message


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a pretraining text."""

    text: str
    taught: bool
    """Whether the model is to write it; the rest is given to it."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a prompt is about, and the response to learn."""

    spec: PromptSpec
    response: str

    def prompt(self, settings: RecipeSettings) -> str:
        """The prompt as the platform renders it."""
        return CodeDomain().build_prompt(self.spec, settings.algorithm)

    def segments(self, settings: RecipeSettings) -> list[Segment]:
        """Prompt and response."""
        return [
            Segment(self.prompt(settings), taught=False),
            Segment(self.response, taught=True),
        ]


Maker = Callable[[Random, RecipeSettings], Example]


def task_of(play: Play, kind: Kind, random: Random, settings: RecipeSettings) -> Task:
    """The task that the platform would store for `play`."""
    if kind is Kind.INDUCTION:
        return Task(
            domain=DOMAIN,
            kind=kind,
            program=play.program.text,
            cases=play.cases,
            message=draw_message(random, play.program),
            shown=settings.algorithm.induction_shown,
        )
    return Task(domain=DOMAIN, kind=kind, program=play.program.text, cases=play.cases[:1])


def draw_example(random: Random, settings: RecipeSettings) -> Example:
    """A random prompt of any kind and role, with a response."""
    (maker,) = random.choices(list(_MAKERS), list(_MAKERS.values()))
    return maker(random, settings)


def forwards(steps: Sequence[Step]) -> str:
    """Each statement and what `x` is after it."""
    return "\n".join(f"{step.statement.text}: {step.after!r}" for step in steps)


def backwards(steps: Sequence[Step]) -> str:
    """Each statement, the last one first, and what `x` was before it."""
    return "\n".join(f"{step.statement.text}: {step.before!r}" for step in reversed(steps))


def fence(info: str, text: str) -> str:
    """`text` as a fenced payload of a prompt or a response."""
    return f"```{info}\n{text}\n```"


def _propose(kind: Kind) -> Maker:
    def make(random: Random, settings: RecipeSettings) -> Example:
        references, like = _draw_references(random, settings)
        play = draw_play(random, inputs=1, like=like)
        answer = fence("python", play.program.text) + "\n" + fence("input", play.cases[0].input)
        spec = PromptSpec(kind=kind, role=Role.PROPOSER, references=tuple(references))
        return Example(spec, _response(_plan(random, play), answer))

    return make


def _draw_references(random: Random, settings: RecipeSettings) -> tuple[list[Task], Program | None]:
    """References for a proposal, and the program whose first statement it takes over, if any."""
    zero = ZERO_TASKS[Kind.DEDUCTION]
    if random.random() < settings.zero_share:
        return [zero], None
    plays = [draw_play(random, inputs=1) for _ in range(random.randint(1, settings.num_references))]
    references = [task_of(play, Kind.DEDUCTION, random, settings) for play in plays]
    if random.random() < settings.zero_share:
        references[random.randrange(len(references))] = zero
        return references, None
    like = random.choice(plays).program if random.random() < 0.5 else None
    return references, like


def propose_induction(random: Random, settings: RecipeSettings) -> Example:
    """A program to describe, and inputs with a message that do."""
    play = draw_play(random, inputs=settings.num_inputs)
    task, message = task_of(play, Kind.DEDUCTION, random, settings), ""
    if random.random() < settings.zero_share / 4:
        task, message = ZERO_TASKS[Kind.DEDUCTION], ZERO_MESSAGE
    fences = [fence("input", case.input) for case in play.cases]
    fences.append(fence("message", message or draw_message(random, play.program)))
    spec = PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=task)
    return Example(spec, _response("", "\n".join(fences)))


def _solve(kind: Kind) -> Maker:
    def make(random: Random, settings: RecipeSettings) -> Example:
        if random.random() < settings.zero_share / 8:
            return _solve_zero(kind)
        inputs = settings.num_inputs if kind is Kind.INDUCTION else 1
        play = draw_play(random, inputs=inputs)
        task = task_of(play, kind, random, settings)
        answer, thought = _solution(kind, play)
        thinks = random.random() < settings.think_share
        spec = PromptSpec(kind=kind, role=Role.SOLVER, task=task)
        return Example(spec, _response(thought if thinks else "", answer))

    return make


def _solve_zero(kind: Kind) -> Example:
    task = ZERO_TASKS[kind]
    spec = PromptSpec(kind=kind, role=Role.SOLVER, task=task)
    return Example(spec, _response("", answer_to(kind, task.program, task.cases[0])))


def _solution(kind: Kind, play: Play) -> tuple[str, str]:
    """The answer to the first case, and the reasoning of a solver that thinks first."""
    return answer_to(kind, play.program.text, play.cases[0]), follow(kind, play.traces[0])


def follow(kind: Kind, steps: Sequence[Step]) -> str:
    """The reasoning of a solver that thinks before it answers.

    Deduction follows `x` from the input forwards, abduction from the output backwards; induction
    follows it through the first pair that it was shown.
    """
    return backwards(steps) if kind is Kind.ABDUCTION else forwards(steps)


def answer_to(kind: Kind, program: str, case: Case) -> str:
    """What a solver has to write between the answer tags."""
    match kind:
        case Kind.ABDUCTION:
            return fence("input", case.input)
        case Kind.DEDUCTION:
            return fence("output", case.output)
        case Kind.INDUCTION:
            return fence("python", program)


def _plan(random: Random, play: Play) -> str:
    """A proposer's reasoning: what the program will do, or nothing."""
    if random.random() < 0.5:
        return ""
    return ", ".join(statement.word for statement in play.program.statements)


def _response(reasoning: str, answer: str) -> str:
    return f"{reasoning}</think><answer>{answer}</answer>"


_MAKERS: dict[Maker, float] = {
    _propose(Kind.ABDUCTION): 0.1,
    _propose(Kind.DEDUCTION): 0.1,
    propose_induction: 0.13,
    _solve(Kind.ABDUCTION): 0.21,
    _solve(Kind.DEDUCTION): 0.21,
    _solve(Kind.INDUCTION): 0.25,
}
"""How often each kind and role appears."""
