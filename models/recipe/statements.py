"""The statements that the grammar's programs are made of.

Each statement changes the one state variable `x`, a list of small integers, an integer or a string
of lower-case letters. A statement is either an expression of `x`, which may also be returned, or an
action such as `x.append(3)`, which may not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

LETTERS = "abcde"
"""A small alphabet, so that `count` and `replace` often meet their letter."""


class Type(StrEnum):
    """What `x` holds."""

    LIST = "list"
    INT = "int"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with its constants filled in."""

    word: str
    """A hint in words, without constants: `drop`."""

    constant: str
    """The constant to add to the hint, or empty: `2`."""

    source: Type
    result: Type
    text: str
    """An expression of `x` such as `x[2:]`, or an action such as `x.pop()`."""

    action: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The statement as it stands in the body of `f`, without that indentation."""
        return (self.text if self.action else f"x = {self.text}",)


@dataclass(frozen=True, slots=True)
class Block:
    """An `if` around a statement that keeps the type of `x`, maybe with an `else`."""

    word: str
    condition: str
    then: Statement
    otherwise: Statement | None

    constant = ""
    action = True

    @property
    def source(self) -> Type:
        """What `x` holds before."""
        return self.then.source

    @property
    def result(self) -> Type:
        """What `x` holds afterwards: the same."""
        return self.then.source

    @property
    def lines(self) -> tuple[str, ...]:
        """The block as it stands in the body of `f`, without that indentation."""
        lines = (f"if {self.condition}:", *_indented(self.then))
        if self.otherwise is not None:
            lines = (*lines, "else:", *_indented(self.otherwise))
        return lines


@dataclass(frozen=True, slots=True)
class Template:
    """A statement with one open constant, written `{}`."""

    word: str
    source: Type
    result: Type
    text: str
    draw: Callable[[Random], str] | None = None
    weight: float = 1.0
    action: bool = False


def _between(low: int, high: int) -> Callable[[Random], str]:
    return lambda random: str(random.randint(low, high))


def _letter(random: Random) -> str:
    return repr(random.choice(LETTERS))


def _letters(random: Random) -> str:
    return repr("".join(random.choice(LETTERS) for _ in range(random.randint(1, 2))))


def _swap(random: Random) -> str:
    before, after = random.sample(LETTERS, 2)
    return f"{before!r}, {after!r}"


_FEW = _between(1, 3)
_DIGIT = _between(1, 9)
_TIMES = _between(2, 3)
_FACTOR = _between(2, 5)

TEMPLATES: tuple[Template, ...] = (
    Template("reverse", Type.LIST, Type.LIST, "x[::-1]", weight=1.5),
    Template("sort", Type.LIST, Type.LIST, "sorted(x)", weight=1.5),
    Template("drop", Type.LIST, Type.LIST, "x[{}:]", _FEW),
    Template("take", Type.LIST, Type.LIST, "x[:{}]", _FEW),
    Template("end with", Type.LIST, Type.LIST, "x + [{}]", _DIGIT),
    Template("start with", Type.LIST, Type.LIST, "[{}] + x", _DIGIT),
    Template("append", Type.LIST, Type.LIST, "x.append({})", _DIGIT, 0.7, action=True),
    Template("pop", Type.LIST, Type.LIST, "x.pop()", weight=0.7, action=True),
    Template("pop first", Type.LIST, Type.LIST, "x.pop(0)", weight=0.7, action=True),
    Template("add", Type.LIST, Type.LIST, "[i + {} for i in x]", _between(1, 5), 1.5),
    Template("multiply", Type.LIST, Type.LIST, "[i * {} for i in x]", _TIMES),
    Template("above", Type.LIST, Type.LIST, "[i for i in x if i > {}]", _between(2, 6)),
    Template("below", Type.LIST, Type.LIST, "[i for i in x if i < {}]", _between(3, 8)),
    Template("even", Type.LIST, Type.LIST, "[i for i in x if i % 2 == 0]", weight=0.8),
    Template("sum", Type.LIST, Type.INT, "sum(x)", weight=1.5),
    Template("length", Type.LIST, Type.INT, "len(x)", weight=1.5),
    Template("largest", Type.LIST, Type.INT, "max(x)"),
    Template("smallest", Type.LIST, Type.INT, "min(x)"),
    Template("first", Type.LIST, Type.INT, "x[0]"),
    Template("last", Type.LIST, Type.INT, "x[-1]"),
    Template("add", Type.INT, Type.INT, "x + {}", _DIGIT, 2.0),
    Template("subtract", Type.INT, Type.INT, "x - {}", _DIGIT, 2.0),
    Template("multiply", Type.INT, Type.INT, "x * {}", _FACTOR, 1.5),
    Template("modulo", Type.INT, Type.INT, "x % {}", _between(2, 5)),
    Template("pair", Type.INT, Type.LIST, "[x, x + {}]", _DIGIT, 1.5),
    Template("fill", Type.INT, Type.LIST, "[x] * {}", _TIMES),
    Template("write", Type.INT, Type.TEXT, "str(x)"),
    Template("reverse", Type.TEXT, Type.TEXT, "x[::-1]", weight=1.5),
    Template("upper", Type.TEXT, Type.TEXT, "x.upper()", weight=0.8),
    Template("drop", Type.TEXT, Type.TEXT, "x[{}:]", _FEW),
    Template("take", Type.TEXT, Type.TEXT, "x[:{}]", _FEW),
    Template("end with", Type.TEXT, Type.TEXT, "x + {}", _letters),
    Template("start with", Type.TEXT, Type.TEXT, "{} + x", _letters),
    Template("replace", Type.TEXT, Type.TEXT, "x.replace({})", _swap, 1.5),
    Template("double first", Type.TEXT, Type.TEXT, "x[0] + x", weight=0.7),
    Template("length", Type.TEXT, Type.INT, "len(x)", weight=1.5),
    Template("count", Type.TEXT, Type.INT, "x.count({})", _letter, 1.5),
)

_CONDITIONS: dict[Type, tuple[tuple[str, str, Callable[[Random], str]], ...]] = {
    Type.LIST: (("long", "len(x) > {}", _between(2, 4)), ("big", "sum(x) > {}", _between(8, 16))),
    Type.INT: (("above", "x > {}", _between(4, 16)), ("even", "x % 2 == {}", lambda _: "0")),
    Type.TEXT: (("long", "len(x) > {}", _between(2, 4)), ("has", "{} in x", _letter)),
}

_BY_SOURCE = {
    source: tuple(template for template in TEMPLATES if template.source is source)
    for source in Type
}


def draw_statement(random: Random, source: Type, *, last: bool) -> Statement:
    """A random statement on an `x` of type `source`.

    Args:
        random: Where the choice comes from.
        source: What `x` holds before the statement.
        last: Whether the value will be returned, so that it must be an expression. Otherwise
            most statements keep the type, or lists and strings would be gone after a step.
    """
    templates = [
        template
        for template in _BY_SOURCE[source]
        if not (last and template.action)
        and (last or template.result is source or random.random() < 0.25)
    ]
    (template,) = random.choices(templates, [template.weight for template in templates])
    constant = "" if template.draw is None else template.draw(random)
    return Statement(
        word=template.word,
        constant=constant.replace("'", "").replace(", ", ""),
        source=source,
        result=template.result,
        text=template.text.format(constant),
        action=template.action,
    )


def draw_block(random: Random, source: Type) -> Block:
    """A random `if`, half of the time with an `else`."""
    name, condition, draw = random.choice(_CONDITIONS[source])
    then, otherwise = (_draw_keeping(random, source) for _ in range(2))
    return Block(
        word=f"if {name} {then.word}",
        condition=condition.format(draw(random)),
        then=then,
        otherwise=otherwise if random.random() < 0.5 else None,
    )


def _draw_keeping(random: Random, source: Type) -> Statement:
    while True:
        statement = draw_statement(random, source, last=False)
        if statement.result is source:
            return statement


def _indented(statement: Statement) -> list[str]:
    return [f"    {line}" for line in statement.lines]
