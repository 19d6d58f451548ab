"""Answers and proposals that claim to be right score nothing: values decide, and nothing else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.execution.backend import Backend
from services.reward.domains.code.plugin import CodeDomain
from services.reward.runs import RunPool
from tests.singly import singly
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.judging import Judgement, Proposal, Solution, Verdict
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Case, Kind, Outcome, Task

DOMAIN = CodeDomain()
SQUARE = "def f(x):\n    return x * x"
DEDUCTION = Task(
    domain="code", kind=Kind.DEDUCTION, program=SQUARE, cases=(Case("-3", "9"),), imports=()
)
ABDUCTION = replace(DEDUCTION, kind=Kind.ABDUCTION)
INDUCTION = replace(
    DEDUCTION,
    kind=Kind.INDUCTION,
    cases=tuple(Case(str(x), str(x * x)) for x in range(11, 21)),
    message="Square it.",
    shown=5,
)
ALWAYS_EQUAL = "type('A', (), {'__eq__': lambda *_: True})()"

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Executor:
    """The real sandbox, in one mode."""

    def __init__(self, backend: Backend, mode: Mapping[str, Any]) -> None:
        self._backend = backend
        self._mode = mode

    def execute(
        self, programs: Sequence[Program], limits: Limits | None = None
    ) -> AsyncIterator[Result]:
        return singly(self._backend.pool.execute(programs, limits or Limits(), **self._mode))


@pytest_asyncio.fixture(loop_scope="session")
async def runs(backend: Backend, mode: Mapping[str, Any]) -> AsyncIterator[RunPool]:
    async with RunPool(Executor(backend, mode), Limits(cpu_time_s=2.0, memory_mib=256)) as pool:
        yield pool


async def judged(runs: RunPool, task: Task, body: str, equality: str = "plain") -> Judgement:
    """The verdict of the Reward service on an answer."""
    solution = Solution(solution_id="s", task=task, response=f"why</think><answer>{body}</answer>")
    return await DOMAIN.judge(solution, PAPER.with_changes({"equality": equality}), runs)


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


def writing(value: str) -> str:
    """A program that answers in the runner's place, with a value text of its own."""
    return (
        "import os\n"
        "def f(x):\n"
        f"    fields = (b'int', b'', {value.encode()!r}, b'')\n"
        "    data = b''.join(len(b).to_bytes(4, 'little') + b for b in fields)\n"
        "    os.write(3, b'o\\x00' + data)\n"
        "    os._exit(0)\n"
    )


@pytest.mark.parametrize("equality", ["plain", "typed"])
@pytest.mark.parametrize(
    ("task", "body"),
    [
        pytest.param(DEDUCTION, "9", id="deduction"),
        pytest.param(ABDUCTION, "3", id="abduction"),
        pytest.param(INDUCTION, fenced("def f(x):\n    return x ** 2"), id="induction"),
    ],
)
async def test_a_right_answer_is_correct(
    runs: RunPool, task: Task, body: str, equality: str
) -> None:
    judgement = await judged(runs, task, body, equality)

    assert (judgement.outcome, judgement.accuracy) == (Outcome.CORRECT, 1.0)


TEXTS = [
    "1) or True #",
    "9) or True #",
    "3) == 9 or f(3",
    "eval(gold_output)",
    "eval('9')",
    "eval('3')",
    "__import__('os').system('true')",
    "__import__('os')",
    "gold_output",
    "gold_input",
    "f(-3)",
    "True or 9",
    "9 if True else 0",
    "3 if True else 0",
    "[x for x in (9,)][0]",
    "{3: 9}[3]",
    "(lambda: 9)()",
    "(lambda: 3)()",
    "*[3]",
    "**{'x': 3}",
    "(y := 3)",
    "max(3, 3)",
    "3 + 0",
    "9 + 0",
    "nan",
    "...",
    "object()",
    ALWAYS_EQUAL,
    "print(9) or 9",
    "9; 9",
    "9 == 9",
    "b'9'",
    "'9'",
    "[9]",
    "9\0",
    "\ud800",
    "9" * 5000,
    "[" * 2000,
    "list(range(10**9))",
]


@pytest.mark.parametrize("task", [DEDUCTION, ABDUCTION], ids=lambda task: task.kind.value)
async def test_no_text_that_is_not_the_value_counts(runs: RunPool, task: Task) -> None:
    for body in TEXTS:
        for equality in ("plain", "typed"):
            judgement = await judged(runs, task, body, equality)

            assert judgement.outcome is Outcome.WRONG, (body, judgement)
            assert judgement.accuracy == 0.0


PROGRAMS = {
    "an object equal to everything": f"def f(x):\n    return {ALWAYS_EQUAL}",
    "an int equal to everything": (
        "class I(int):\n"
        "    __eq__ = lambda *_: True\n"
        "    __hash__ = int.__hash__\n"
        "def f(x):\n    return I(x)"
    ),
    "a list of such": f"def f(x):\n    return [{ALWAYS_EQUAL}]",
    "an object that looks like the answer": (
        "class C:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def __repr__(self): return str(self.x * self.x)\n"
        "    __str__ = __repr__\n"
        "def f(x):\n    return C(x)"
    ),
    "an object that is read as the answer": (
        "class C:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def __reduce__(self): return int, (self.x * self.x,)\n"
        "    def __int__(self): return self.x * self.x\n"
        "    __index__ = __int__\n"
        "def f(x):\n    return C(x)"
    ),
    "the answer as text": "def f(x):\n    return str(x * x)",
    "the answer printed": "def f(x):\n    print(x * x)",
    "the answer raised": "def f(x):\n    raise ValueError(x * x)",
    "the answer as exit code": "import sys\ndef f(x):\n    sys.exit(x * x)",
    "an end with exit code 0": "import os\ndef f(x):\n    os._exit(0)",
    "equality switched off": (
        "import builtins, operator\n"
        "operator.eq = builtins.isinstance = lambda *_: True\n"
        "def f(x):\n    return 0"
    ),
    "the runner's writer replaced": (
        "import gc\n"
        "for d in gc.get_objects():\n"
        "    if type(d) is dict and 'canonical_text' in d:\n"
        "        d['canonical_text'] = lambda *a, **k: 'True'\n"
        "def f(x):\n    return f"
    ),
    "nan": "def f(x):\n    return float('nan')",
    "two answers": writing("1") + "def f(x, g=f):\n    import os\n    os._exit = print\n    g(x)\n",
    "a value that closes a call": writing("1) or True #"),
    "a value that evaluates": writing("eval(gold_output)"),
    "a value that imports": writing("__import__('os')"),
    "a value that is a name": writing("gold"),
    "a value that compares": writing("144 == 144"),
    "a value with a comment": writing("144 # 169 196 225 256 289 324 361 400"),
    "a value of every answer": writing("{256, 289, 324, 361, 400}"),
    "a value that is other text": writing("'256'"),
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_no_program_that_does_not_return_the_value_counts(runs: RunPool, name: str) -> None:
    for equality in ("plain", "typed"):
        judgement = await judged(runs, INDUCTION, fenced(PROGRAMS[name]), equality)

        assert judgement.outcome is Outcome.WRONG, judgement
        assert judgement.accuracy == 0.0
        assert "not_executed" not in judgement.runs


async def test_one_pair_by_chance_is_not_enough(runs: RunPool) -> None:
    judgement = await judged(runs, INDUCTION, fenced(writing("256")))

    assert (judgement.outcome, judgement.accuracy) == (Outcome.WRONG, 0.0)
    assert judgement.runs == {"ok": 5}


async def proposed(runs: RunPool, program: str, text: str) -> Verdict:
    """The verdict of the Reward service on a proposal."""
    body = f"```python\n{program}\n```\n```input\n{text}\n```"
    proposal = Proposal(
        proposal_id="p", kind=Kind.DEDUCTION, response=f"why</think><answer>{body}</answer>"
    )
    return await DOMAIN.validate(proposal, PAPER.with_changes({"banned_modules": ()}), runs)


async def test_a_right_proposal_is_a_task(runs: RunPool) -> None:
    verdict = await proposed(runs, SQUARE, "-3")

    assert verdict.task is not None
    assert verdict.task.cases == (Case("-3", "9"),)


@pytest.mark.parametrize(
    "name",
    [
        "an object equal to everything",
        "an int equal to everything",
        "a list of such",
        "an object that looks like the answer",
        "an object that is read as the answer",
        "the answer raised",
        "an end with exit code 0",
        "nan",
        "two answers",
        "a value that closes a call",
        "a value that evaluates",
        "a value that imports",
        "a value that is a name",
        "a value that compares",
        "a value with a comment",
    ],
)
async def test_no_such_program_becomes_a_task(runs: RunPool, name: str) -> None:
    verdict = await proposed(runs, PROGRAMS[name], "12")

    assert verdict.task is None
    assert verdict.rejection is not None
    assert verdict.not_executed == ""


@pytest.mark.parametrize(
    "text", ["1) or True #", "eval('3')", "__import__('os')", "f(3)", ALWAYS_EQUAL, "(y := 3)"]
)
async def test_no_input_that_is_no_data_becomes_a_task(runs: RunPool, text: str) -> None:
    verdict = await proposed(runs, SQUARE, text)

    assert verdict.task is None
    assert verdict.rejection is not None
    assert verdict.runs == {}
