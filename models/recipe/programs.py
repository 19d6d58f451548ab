"""Programs of the grammar: drawing them, running them and telling held-out ones apart."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from models.recipe.statements import (
    LETTERS,
    Block,
    Statement,
    Type,
    draw_block,
    draw_statement,
)
from zeroloop.core.programs import normalised

INDENT = "    "
NUM_STATEMENTS = (1, 2, 3)
NUM_STATEMENTS_WEIGHTS = (0.2, 0.5, 0.3)
BLOCK_SHARE = 0.06
"""Statements that are an `if`."""

RETURN_SHARE = 0.6
"""Programs that end in `return E` instead of `x = E` and `return x`, where they can."""

TYPE_WEIGHTS = {Type.LIST: 0.45, Type.INT: 0.25, Type.TEXT: 0.3}

INT_MAX = 99
"""Larger values are out of reach of a model that reads digit by digit."""

ITEMS_MAX = 6
TEXT_CHARS_MAX = 8

HELD_OUT_SHARE = 20
"""One program in this many is held out: never in the training text, only in evaluation."""

Value = int | str | list[int]


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the grammar, whose text is a fixed point of parsing and unparsing."""

    source: Type
    statements: tuple[Statement | Block, ...]
    returns_expression: bool
    """Whether the last statement is `return E` instead of `x = E` and `return x`."""

    @property
    def text(self) -> str:
        """Source text whose entry point is `f`."""
        return "\n".join(("def f(x):", *self._body()))

    def _body(self) -> list[str]:
        last = self.statements[-1]
        kept, result = self.statements, "x"
        if self.returns_expression and isinstance(last, Statement):
            kept, result = self.statements[:-1], last.text
        lines = [INDENT + line for statement in kept for line in statement.lines]
        return [*lines, f"{INDENT}return {result}"]

    @property
    def held_out(self) -> bool:
        """Whether this program is kept out of everything that the model is trained on."""
        return is_held_out(self.text)


@dataclass(frozen=True, slots=True)
class Step:
    """One executed statement."""

    statement: Statement
    before: Value
    after: Value


def is_held_out(program_text: str) -> bool:
    """Whether a program belongs to the held-out share, by a hash of its normalised text."""
    digest = hashlib.sha256(normalised(program_text).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0


def draw_program(random: Random, *, first: Statement | Block | None = None) -> Program:
    """A random program, whose first statement is `first` if given. It may fail when run."""
    (source,) = random.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))
    (count,) = random.choices(NUM_STATEMENTS, NUM_STATEMENTS_WEIGHTS)
    statements: list[Statement | Block] = [] if first is None else [first]
    while len(statements) < count:
        kind = statements[-1].result if statements else source
        last = len(statements) == count - 1
        if random.random() < BLOCK_SHARE:
            statements.append(draw_block(random, kind))
        else:
            statements.append(draw_statement(random, kind, last=last))
    final = statements[-1]
    returns_expression = not final.action and random.random() < RETURN_SHARE
    return Program(statements[0].source, tuple(statements), returns_expression)


def draw_value(random: Random, source: Type) -> Value:
    """A random value to call a program with."""
    if source is Type.LIST:
        count = random.choices(range(5), (0.3, 3, 7, 7, 4))[0]
        return [random.randint(0, 9) for _ in range(count)]
    if source is Type.INT:
        return random.randint(0, 9 if random.random() < 0.5 else 20)
    count = random.choices(range(5), (0.3, 4, 7, 7, 4))[0]
    return "".join(random.choice(LETTERS) for _ in range(count))


def trace(statements: Sequence[Statement | Block], value: Value) -> tuple[Step, ...] | None:
    """Follow `x` through statements, starting at `value`.

    They are our own text, so that they are simply executed. None if a statement fails or a value
    on the way exceeds the bounds of this module.
    """
    steps: list[Step] = []
    for statement in statements:
        taken = _taken(statement, value)
        if taken is None:
            continue
        names: dict[str, Value] = {"x": _copy(value)}
        try:
            exec(taken.lines[0], {}, names)
        except (IndexError, ValueError, TypeError):
            return None
        before, value = value, names["x"]
        if not _is_small(value):
            return None
        steps.append(Step(taken, before, value))
    return tuple(steps)


def _taken(statement: Statement | Block, value: Value) -> Statement | None:
    """The statement that is executed, None if it is that of an `if` that does not hold."""
    if isinstance(statement, Statement):
        return statement
    holds = eval(statement.condition, {}, {"x": value})
    return statement.then if holds else statement.otherwise


def _copy(value: Value) -> Value:
    return list(value) if isinstance(value, list) else value


def _is_small(value: Value) -> bool:
    if isinstance(value, int):
        return abs(value) <= INT_MAX
    if isinstance(value, str):
        return len(value) <= TEXT_CHARS_MAX
    return len(value) <= ITEMS_MAX and all(abs(item) <= INT_MAX for item in value)
