"""A hand-written player of the code domain: what a model might answer, without one.

It reads the prompts of the code domain and answers them from a few families of programs
that it knows: proposals are members of a family, and a task from one of them it can solve,
which it does as often as its skill says. For load and fault tests: its answers are of the
right shape and worth, not of any interest.
"""

import ast
import hashlib
import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INPUTS = range(100)
"""Arguments that it proposes, and where it looks for one that gives an output."""

PARAMETERS = range(1, 10)

VALID_RATIO = 0.95
"""Share of proposals that hold what was asked for."""

MALFORMED_RATIO = 0.1
"""Share of failures that break the layout instead of being wrong."""

_FENCE = re.compile(r"```(input|output|python|message)(?:_\d+)?\n(.*?)\n?```", re.DOTALL)
_PROPOSE_PROGRAM = re.compile(r"propose (?:abduction|deduction)|new Python code snippet")
_PROPOSE_INPUTS = re.compile(r"propose induction (\d+)|Write (\d+) inputs")
_INTEGER = re.compile(r"\s*(-?\d+)\s*")


@dataclass(frozen=True, slots=True)
class _Fence:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Family:
    """Programs that differ in two small numbers."""

    source: str
    """With A and B where the numbers stand."""

    compute: Callable[[int, int, int], int]
    """The value of the program for an argument, A and B."""

    def program(self, a: int, b: int) -> str:
        """The member with these numbers."""
        return self.source.replace("A", str(a)).replace("B", str(b))

    def parameters(self, program: str) -> tuple[int, int] | None:
        """The numbers of a member; None if `program` is none."""
        pattern = (
            re.escape(self.source).replace("A", r"(?P<a>\d+)", 1).replace("B", r"(?P<b>\d+)", 1)
        )
        match = re.fullmatch(pattern, program.strip())
        return None if match is None else (int(match["a"]), int(match["b"]))


FAMILIES = (
    Family("def f(x):\n    return x * A + B", lambda x, a, b: x * a + b),
    Family("def f(x):\n    return (x + A) % (B + 2)", lambda x, a, b: (x + a) % (b + 2)),
    Family("def f(x):\n    y = x // A\n    return y * y - B", lambda x, a, b: (x // a) ** 2 - b),
    Family(
        "def f(x):\n    if x % 2 == 0:\n        return x + A\n    return x - B",
        lambda x, a, b: x + a if x % 2 == 0 else x - b,
    ),
    Family(
        "def f(x):\n    t = 0\n    for i in range(A):\n        t += x + i * B\n    return t",
        lambda x, a, b: sum(x + i * b for i in range(a)),
    ),
    Family(
        "def f(x):\n    digits = [int(c) + A for c in str(x)]\n    return sum(digits) * B",
        lambda x, a, b: sum(int(c) + a for c in str(abs(x))) * b,
    ),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A program whose family it knows."""

    family: Family
    a: int
    b: int

    @property
    def program(self) -> str:
        """Its text."""
        return self.family.program(self.a, self.b)

    def __call__(self, x: int) -> int:
        return self.family.compute(x, self.a, self.b)


def respond(prompt: str, skill: float, rng: random.Random) -> str:
    """Answer a prompt of the code domain, be it of the style `r1` or `compact`.

    Args:
        prompt: Ends with the forced `<think>`.
        skill: Share of tasks to solve, 0 to 1.
        rng: Dice.
    """
    inputs = _PROPOSE_INPUTS.search(prompt)
    if inputs is not None:
        return _propose_inputs(int(inputs[1] or inputs[2]), rng)
    if _PROPOSE_PROGRAM.search(prompt):
        return _propose_program(rng)
    fences = [_Fence(name, text) for name, text in _FENCE.findall(prompt)]
    solved = rng.random() < _chance(prompt, skill)
    answer = _solve(fences) if solved else None
    if answer is not None:
        return _reply("I follow the program.", answer)
    if rng.random() < MALFORMED_RATIO:
        return "I am not sure, and I forget how to answer."
    return _reply("I guess.", _fence("output", "None"))


def _propose_program(rng: random.Random) -> str:
    if rng.random() >= VALID_RATIO:
        return _reply("I have no idea.", _fence("python", "def f(x:\n    return"))
    task = Known(rng.choice(FAMILIES), rng.choice(PARAMETERS), rng.choice(PARAMETERS))
    argument = str(rng.choice(INPUTS))
    return _reply("A new rule.", f"{_fence('python', task.program)}\n{_fence('input', argument)}")


def _propose_inputs(count: int, rng: random.Random) -> str:
    if rng.random() >= VALID_RATIO:
        return _reply("I have no idea.", _fence("input", "1"))
    inputs = [_fence("input", str(x)) for x in rng.sample(INPUTS, min(count, len(INPUTS)))]
    return _reply("Some numbers.", "\n".join((*inputs, _fence("message", "Find the rule."))))


def _solve(fences: Sequence[_Fence]) -> str | None:
    """The right answer; None if it does not know the program.

    Examples of the layout come after what is given, so what comes first tells the kind.
    """
    if len(fences) < 2:
        return None
    first, second = fences[:2]
    if first.name != "python":
        given = list(itertools.takewhile(lambda fence: fence.name != "message", fences))
        task = _induce(
            [fence.text for fence in given if fence.name == "input"],
            [fence.text for fence in given if fence.name == "output"],
        )
        return None if task is None else _fence("python", task.program)
    task = _recognise(first.text)
    if task is None:
        return None
    if second.name == "input":
        argument = _INTEGER.fullmatch(second.text)
        return None if argument is None else _fence("output", repr(task(int(argument[1]))))
    found = next((x for x in INPUTS if repr(task(x)) == second.text.strip()), None)
    return None if found is None else _fence("input", str(found))


def _recognise(program: str) -> Known | None:
    for family in FAMILIES:
        numbers = family.parameters(program)
        if numbers is not None:
            return Known(family, *numbers)
    return None


def _induce(inputs: Sequence[str], outputs: Sequence[str]) -> Known | None:
    """The first program of any family that agrees with all pairs."""
    try:
        pairs = [(int(x), ast.literal_eval(y)) for x, y in zip(inputs, outputs, strict=True)]
    except (ValueError, SyntaxError):
        return None
    return next(
        (
            task
            for family in FAMILIES
            for a in PARAMETERS
            for b in PARAMETERS
            if all((task := Known(family, a, b))(x) == y for x, y in pairs)
        ),
        None,
    )


def _chance(prompt: str, skill: float) -> float:
    """How likely it solves this task: around its skill, as tasks differ in difficulty."""
    if skill in {0.0, 1.0}:
        return skill
    difficulty = hashlib.sha256(prompt.encode()).digest()[0] / 255
    return min(1.0, max(0.0, skill + (0.5 - difficulty)))


def _reply(thought: str, answer: str) -> str:
    return f"{thought}</think>\n<answer>{answer}</answer>"


def _fence(info: str, text: str) -> str:
    return f"```{info}\n{text}\n```"
