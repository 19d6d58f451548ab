"""Plays: a program of the grammar with inputs that it runs on."""

from dataclasses import dataclass
from random import Random

from models.recipe.programs import Program, Step, Value, draw_program, draw_value, trace
from zeroloop.core.tasks import Case

_TRIES_PER_INPUT = 3


@dataclass(frozen=True, slots=True)
class Play:
    """A program of the grammar that ran, with what it did on the way."""

    program: Program
    values: tuple[Value, ...]
    """Inputs, distinct."""

    traces: tuple[tuple[Step, ...], ...]
    """Per input, the statements that were executed."""

    def output(self, index: int) -> Value:
        """What the program returns on the input of that index."""
        steps = self.traces[index]
        return steps[-1].after if steps else self.values[index]

    @property
    def cases(self) -> tuple[Case, ...]:
        """Inputs and outputs as the platform writes them."""
        return tuple(
            Case(repr(value), repr(self.output(index))) for index, value in enumerate(self.values)
        )


def draw_play(
    random: Random, *, inputs: int, like: Program | None = None, held_out: bool = False
) -> Play:
    """A random program that runs on `inputs` distinct random inputs.

    Args:
        random: Where the choices come from.
        inputs: How many, at least 1.
        like: A program whose first statement to begin with, or None.
        held_out: Which side of the split the program must be on.
    """
    first = None if like is None else like.statements[0]
    while True:
        program = draw_program(random, first=first)
        if program.held_out is held_out and (play := _run(random, program, inputs)):
            return play


def _run(random: Random, program: Program, inputs: int) -> Play | None:
    runs: dict[str, tuple[Value, tuple[Step, ...]]] = {}
    for _ in range(_TRIES_PER_INPUT * inputs):
        value = draw_value(random, program.source)
        steps = trace(program.statements, value)
        if steps is not None:
            runs[repr(value)] = (value, steps)
        if len(runs) == inputs:
            # In the order of their text: a tiny model that writes six inputs can see that one comes
            # after the one before, but not that it is none of five.
            values, traces = zip(*(runs[text] for text in sorted(runs)), strict=True)
            return Play(program, values, traces)
    return None


def draw_message(random: Random, program: Program) -> str:
    """A hint for induction: what the statements do, in words, some of it left out."""
    words: list[str] = []
    for statement in program.statements:
        if random.random() < 0.1:
            continue
        with_constant = statement.constant and random.random() < 0.75
        words.append(f"{statement.word} {statement.constant}" if with_constant else statement.word)
    return ", ".join(words) or "guess"
