"""Composite proposals in the code domain: prompted, validated, solved."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.reward.domains.code.plugin import CodeDomain
from services.reward.runs import RetryPolicy, RunPool
from tests.unit.reward.fakes import FakeExecutor
from zeroloop.core.execution import Limits
from zeroloop.core.judging import PromptSpec, Proposal, Solution, Verdict
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task
from zeroloop.core.validity import Rejection
from zeroloop.errors import InvalidRequestError

SQUARE = Task(
    domain="code",
    kind=Kind.DEDUCTION,
    program="def f(x):\n    return x * x",
    cases=(Case("2", "4"),),
)
FLOOR = replace(SQUARE, program="def f(x):\n    return math.floor(x)", imports=("import math",))
GOOD = "def f(x):\n    return g_0(x) + g_1(x / 2)"


@pytest.fixture
async def pool() -> AsyncIterator[RunPool]:
    async with RunPool(FakeExecutor(), Limits(), RetryPolicy(backoff_s=0)) as pool:
        yield pool


async def validate(pool: RunPool, program: str, *composites: Task, text: str = "7") -> Verdict:
    body = f"```python\n{program}\n```\n```input\n{text}\n```"
    proposal = Proposal(
        proposal_id="p",
        kind=Kind.DEDUCTION,
        response=f"a</think><answer>{body}</answer>",
        composites=composites,
    )
    return await CodeDomain().validate(proposal, PAPER, pool)


async def solve(pool: RunPool, task: Task, answer: str) -> Outcome:
    solution = Solution(solution_id="s", task=task, response=f"a</think><answer>{answer}</answer>")
    return (await CodeDomain().judge(solution, PAPER, pool)).outcome


async def test_a_composite_proposal_becomes_a_task_that_needs_nothing_else(pool: RunPool) -> None:
    verdict = await validate(pool, GOOD, SQUARE, FLOOR)

    assert verdict.task == Task(
        domain="code",
        kind=Kind.DEDUCTION,
        program="def g_0(x):\n    return x * x\n\ndef g_1(x):\n    return math.floor(x)\n\n" + GOOD,
        imports=("import math",),
        cases=(Case("7", "52"),),
        composites=("def g_0(x):\n    return x * x", "def g_1(x):\n    return math.floor(x)"),
        thought="a",
    )
    assert verdict.task is not None
    assert verdict.task.original_program == GOOD


async def test_composite_tasks_are_solved_like_any_other(pool: RunPool) -> None:
    task = (await validate(pool, GOOD, SQUARE, FLOOR)).task
    assert task is not None
    abduction = replace(task, kind=Kind.ABDUCTION)

    assert await solve(pool, task, "```output\n52\n```") is Outcome.CORRECT
    assert await solve(pool, task, "```output\n53\n```") is Outcome.WRONG
    assert await solve(pool, abduction, "```input\n7\n```") is Outcome.CORRECT
    assert await solve(pool, abduction, "```input\n8\n```") is Outcome.WRONG
    for style in ("r1", "compact"):
        spec = PromptSpec(kind=Kind.DEDUCTION, role=Role.SOLVER, task=task)
        prompt = CodeDomain().build_prompt(spec, PAPER.with_changes({"prompt_style": style}))
        assert task.source in prompt


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        pytest.param("def f(x):\n    return x", "f must call g_0, g_1", id="ignores them"),
        pytest.param("g_0 = abs\n" + GOOD, "g_0 must not be redefined", id="redefines one"),
    ],
)
async def test_a_proposal_that_does_not_build_on_them_is_rejected(
    pool: RunPool, program: str, detail: str
) -> None:
    verdict = await validate(pool, program, SQUARE, FLOOR)

    assert (verdict.task, verdict.rejection) == (None, Rejection.COMPOSITE)
    assert verdict.detail == detail


async def test_the_rule_of_one_function_holds_for_what_is_proposed_alone(pool: RunPool) -> None:
    two = "def h(x):\n    return g_0(x)\n\ndef f(x):\n    return h(x) + g_0(x)"

    assert (await validate(pool, GOOD, SQUARE, FLOOR)).task is not None
    assert (await validate(pool, two, SQUARE)).detail == "many_functions"


async def test_programs_to_build_on_must_be_programs(pool: RunPool) -> None:
    with pytest.raises(InvalidRequestError, match=r"proposals\.composites"):
        await validate(pool, GOOD, replace(SQUARE, program="x = 1"))


@pytest.mark.parametrize("style", ["r1", "compact"])
def test_a_prompt_shows_the_functions_after_the_references(style: str) -> None:
    spec = PromptSpec(
        kind=Kind.DEDUCTION, role=Role.PROPOSER, references=(SQUARE,), composites=(SQUARE, FLOOR)
    )
    settings = PAPER.with_changes({"prompt_style": style})

    prompt = CodeDomain().build_prompt(spec, settings)
    plain = CodeDomain().build_prompt(replace(spec, composites=()), settings)

    shown = [
        "```input\n2\n```",
        "```python\ndef g_0(x):\n    return x * x\n```",
        "```python\nimport math\ndef g_1(x):\n    return math.floor(x)\n```",
    ]
    places = [prompt.index(text) for text in shown]
    assert places == sorted(places)
    assert prompt.endswith("<think>")
    assert "g_0" not in plain


def test_an_induction_proposal_builds_on_nothing() -> None:
    spec = PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=SQUARE, composites=(SQUARE,))
    with pytest.raises(InvalidRequestError, match=r"specs\.composites"):
        CodeDomain().build_prompt(spec, PAPER)
