"""Drills: dense practice of what the games need.

A game asks for one answer after a long prompt, so that few of its tokens teach anything. A model
this small needs many lines that follow statements, and many hints next to their programs, before
it copies at all. A drill packs them into one text, in the layout of the games.
"""

from collections.abc import Callable
from random import Random

from models.recipe.games import Segment, answer_to, fence, follow
from models.recipe.plays import draw_message, draw_play
from models.recipe.programs import Step, Value, draw_value, trace
from models.recipe.settings import RecipeSettings
from models.recipe.statements import Type, draw_statement
from zeroloop.core.tasks import Kind

Drill = Callable[[Random, RecipeSettings], list[Segment]]


def draw_drill(random: Random, settings: RecipeSettings) -> list[Segment]:
    """A random drill of any sort."""
    (drill,) = random.choices(list(_DRILLS), list(_DRILLS.values()))
    return drill(random, settings)


def chain(random: Random, settings: RecipeSettings) -> list[Segment]:
    """Statements with the value of `x` after each, or before each, backwards."""
    value: Value = draw_value(random, random.choice(list(Type)))
    steps: list[Step] = []
    while len(steps) < settings.chain_steps:
        statement = draw_statement(random, _type_of(value), last=False)
        found = trace((statement,), value)
        if found:
            steps += found
            value = found[0].after
    if random.random() < 0.5:
        segments = [Segment(f"forwards\n{steps[0].before!r}", taught=False)]
        lines = [(step.statement.text, step.after) for step in steps]
    else:
        segments = [Segment(f"backwards\n{steps[-1].after!r}", taught=False)]
        lines = [(step.statement.text, step.before) for step in reversed(steps)]
    for statement, known in lines:
        segments += [
            Segment(f"\n{statement}: ", taught=False),
            Segment(repr(known), taught=True),
        ]
    return segments


def cases(random: Random, settings: RecipeSettings) -> list[Segment]:
    """One program, and the way to the output (or to the input) for several cases."""
    kind = random.choice((Kind.DEDUCTION, Kind.ABDUCTION))
    play = draw_play(random, inputs=settings.drill_cases)
    segments = [Segment(fence("python", play.program.text), taught=False)]
    for case, steps in zip(play.cases, play.traces, strict=True):
        given = fence("input", case.input)
        if kind is Kind.ABDUCTION:
            given = fence("output", case.output)
        answer = answer_to(kind, play.program.text, case)
        segments += [
            Segment(f"\n{given}\n<think>", taught=False),
            Segment(f"{follow(kind, steps)}</think><answer>{answer}</answer>", taught=True),
        ]
    return segments


def hints(random: Random, settings: RecipeSettings) -> list[Segment]:
    """Several programs, each after one of its cases and a hint."""
    segments: list[Segment] = []
    for _ in range(settings.drill_hints):
        play = draw_play(random, inputs=1)
        (case,) = play.cases
        given = (
            fence("input", case.input),
            fence("output", case.output),
            fence("message", draw_message(random, play.program)),
            "<think>",
        )
        answer = answer_to(Kind.INDUCTION, play.program.text, case)
        segments += [
            Segment("\n".join(given), taught=False),
            Segment(f"</think><answer>{answer}</answer>\n", taught=True),
        ]
    return segments


def _type_of(value: Value) -> Type:
    if isinstance(value, list):
        return Type.LIST
    return Type.TEXT if isinstance(value, str) else Type.INT


_DRILLS: dict[Drill, float] = {chain: 0.25, cases: 0.45, hints: 0.3}
"""How often each appears among the drills."""
