"""The rendered `r1` prompts, word by word.

A change of wording changes what a model learns. If one is meant, delete the golden file and run
the tests once: they write it anew, and fail.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import PromptSpec
from zeroloop.core.parsing import format_ok
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Case, Kind, Role, Task
from zeroloop.errors import InvalidRequestError

GOLDEN = Path(__file__).parent / "golden"
BRACES = "def f(x):\n    return {x: '{x} {{y}} %s {0}'}"
TRIPLET = Task(
    domain="code",
    kind=Kind.DEDUCTION,
    program=BRACES,
    imports=("import math",),
    cases=(Case("1", "{1: '{x} {{y}} %s {0}'}"),),
)
IDENTITY = Task(
    domain="code",
    kind=Kind.DEDUCTION,
    program="def f(a):\n    return a",
    cases=(Case('"Hello world"', "'Hello world'"),),
)
PAIRS = Task(
    domain="code",
    kind=Kind.INDUCTION,
    program="def f(x):\n    return x * x",
    cases=tuple(Case(str(i), str(i * i)) for i in range(10)),
    message="Multiply it with itself.",
    shown=5,
)

SPECS = {
    "propose_abduction": PromptSpec(
        kind=Kind.ABDUCTION, role=Role.PROPOSER, references=(IDENTITY, TRIPLET)
    ),
    "propose_deduction_with_functions": PromptSpec(
        kind=Kind.DEDUCTION,
        role=Role.PROPOSER,
        references=(IDENTITY,),
        composites=(IDENTITY, TRIPLET),
    ),
    "propose_deduction_without_references": PromptSpec(kind=Kind.DEDUCTION, role=Role.PROPOSER),
    "propose_induction": PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=TRIPLET),
    "propose_deduction_while_seeding": PromptSpec(
        kind=Kind.DEDUCTION, role=Role.PROPOSER, seeding=True
    ),
    "solve_abduction": PromptSpec(
        kind=Kind.ABDUCTION, role=Role.SOLVER, task=replace(TRIPLET, kind=Kind.ABDUCTION)
    ),
    "solve_deduction": PromptSpec(kind=Kind.DEDUCTION, role=Role.SOLVER, task=TRIPLET),
    "solve_induction": PromptSpec(kind=Kind.INDUCTION, role=Role.SOLVER, task=PAIRS),
}


def build(spec: PromptSpec, **changes: object) -> str:
    return CodeDomain().build_prompt(spec, PAPER.with_changes(changes))


@pytest.mark.parametrize("name", SPECS)
def test_the_prompt_is_the_golden_one(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    prompt = build(SPECS[name])
    if not path.exists():
        path.write_text(prompt)
        pytest.fail(f"{path.name} did not exist; it was written, review it")
    assert prompt == path.read_text()


@pytest.mark.parametrize("name", SPECS)
def test_every_prompt_ends_with_the_forced_opening(name: str) -> None:
    prompt = build(SPECS[name])
    assert prompt.endswith("\nAssistant: <think>")
    assert prompt.count("User: ") == prompt.count("\nAssistant: ") == 1
    assert format_ok("x</think> <answer>y</answer>")


def test_programs_are_joined_in_as_they_are() -> None:
    for name in ("propose_abduction", "propose_induction", "solve_abduction", "solve_deduction"):
        assert f"import math\n{BRACES}" in build(SPECS[name])


def test_a_solver_of_induction_sees_half_of_the_pairs_and_not_the_program() -> None:
    prompt = build(SPECS["solve_induction"])
    assert "```input_4\n4\n```\n```output_4\n16\n```" in prompt
    assert "input_5" not in prompt
    assert "x * x" not in prompt
    assert "```message\nMultiply it with itself.\n```" in prompt


def test_the_rules_in_force_are_told() -> None:
    spec = SPECS["propose_deduction_without_references"]
    prompt = build(spec, cpu_limit_s=2.5, banned_modules=["random", "os.environ"])
    assert "within 2.5 seconds" in prompt
    assert "even in comments: random, os.environ." in prompt
    assert "even in comments" not in build(spec, banned_modules=[])
    assert "global variables are removed" not in prompt
    assert "global variables are removed" in build(spec, remove_after_return=True)
    assert "the test input anywhere" in build(spec, remove_input_from_snippet=True)
    assert "Write 6 inputs" in build(SPECS["propose_induction"], num_inputs=6)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER), "needs a task"),
        (PromptSpec(kind=Kind.ABDUCTION, role=Role.PROPOSER, task=TRIPLET), "takes no task"),
        (PromptSpec(kind=Kind.ABDUCTION, role=Role.SOLVER), "needs a task"),
        (PromptSpec(kind=Kind.ABDUCTION, role=Role.SOLVER, task=TRIPLET), "got deduction"),
        (
            PromptSpec(kind=Kind.DEDUCTION, role=Role.SOLVER, task=replace(TRIPLET, cases=())),
            "has one case, got 0",
        ),
        (
            PromptSpec(kind=Kind.INDUCTION, role=Role.SOLVER, task=replace(PAIRS, shown=10)),
            "beyond those that are shown",
        ),
    ],
)
def test_a_spec_that_lacks_something_is_refused(spec: PromptSpec, problem: str) -> None:
    for style in ("r1", "compact"):
        with pytest.raises(InvalidRequestError, match=problem):
            build(spec, prompt_style=style)


@pytest.mark.parametrize("name", SPECS)
def test_the_compact_style_takes_the_same_specs(name: str) -> None:
    prompt = build(SPECS[name], prompt_style="compact")
    assert prompt.endswith("<think>")
    assert len(prompt) < len(build(SPECS[name]))
