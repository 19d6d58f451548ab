"""The hand-written player answers real prompts of the code domain, both styles."""

import random
import re

import pytest

from services.inference.engine.policy import FAMILIES, INPUTS, Known, respond
from services.reward.domains.code import compact, r1
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Task

SETTINGS = AlgorithmSettings()
KNOWN = Known(FAMILIES[0], 3, 4)
FENCE = re.compile(r"```(\w+)\n(.*?)\n```", re.DOTALL)


def task(kind: Kind) -> Task:
    cases = tuple(Case(str(x), repr(KNOWN(x))) for x in (2, 5, 11, 20, 30, 41))
    if kind is not Kind.INDUCTION:
        cases = cases[:1]
    return Task(
        domain="code", kind=kind, program=KNOWN.program, cases=cases, message="Find it.", shown=3
    )


def answer(response: str) -> list[tuple[str, str]]:
    match = re.fullmatch(r".*</think>\s*<answer>(.*)</answer>", response, re.DOTALL)
    assert match, response
    return FENCE.findall(match[1])


@pytest.mark.parametrize("style", [compact, r1], ids=["compact", "r1"])
@pytest.mark.parametrize("kind", list(Kind))
def test_full_skill_solves_what_it_knows(style, kind: Kind) -> None:
    ((name, text),) = answer(
        respond(style.solve_prompt(task(kind), SETTINGS), 1.0, random.Random(1))
    )
    if kind is Kind.DEDUCTION:
        assert (name, text) == ("output", "10")
    elif kind is Kind.ABDUCTION:
        assert (name, KNOWN(int(text))) == ("input", 10)
    else:
        namespace: dict = {}
        exec(text, namespace)
        assert [namespace["f"](x) for x in INPUTS] == [KNOWN(x) for x in INPUTS]


@pytest.mark.parametrize("style", [compact, r1], ids=["compact", "r1"])
def test_no_skill_solves_nothing(style) -> None:
    prompt = style.solve_prompt(task(Kind.DEDUCTION), SETTINGS)
    responses = {respond(prompt, 0.0, random.Random(seed)) for seed in range(50)}
    assert not any("```output\n10\n```" in response for response in responses)


@pytest.mark.parametrize("style", [compact, r1], ids=["compact", "r1"])
@pytest.mark.parametrize("kind", [Kind.ABDUCTION, Kind.DEDUCTION])
def test_proposals_are_programs_that_it_could_solve(style, kind: Kind) -> None:
    prompt = style.propose_prompt(kind, [task(kind)], None, SETTINGS)
    fences = [answer(respond(prompt, 0.5, random.Random(seed))) for seed in range(200)]
    whole = [found for found in fences if [name for name, _ in found] == ["python", "input"]]
    assert 0.9 <= len(whole) / len(fences) < 1.0
    assert len({found[0][1] for found in whole}) > 100


@pytest.mark.parametrize("style", [compact, r1], ids=["compact", "r1"])
def test_induction_proposals_hold_as_many_inputs_as_asked_for(style) -> None:
    prompt = style.propose_prompt(Kind.INDUCTION, [], task(Kind.DEDUCTION), SETTINGS)
    names = [name for name, _ in answer(respond(prompt, 0.5, random.Random(3)))]
    assert names == ["input"] * SETTINGS.num_inputs + ["message"]


@pytest.mark.parametrize("family", FAMILIES, ids=range(len(FAMILIES)))
def test_every_family_computes_what_its_program_computes(family) -> None:
    for a, b in ((1, 1), (3, 7), (9, 2)):
        namespace: dict = {}
        exec(family.program(a, b), namespace)
        assert [namespace["f"](x) for x in INPUTS] == [family.compute(x, a, b) for x in INPUTS]
        assert family.parameters(family.program(a, b)) == (a, b)


def test_the_same_dice_give_the_same_answer() -> None:
    prompt = compact.solve_prompt(task(Kind.DEDUCTION), SETTINGS)
    first, second = (respond(prompt, 0.5, random.Random(7)) for _ in range(2))
    assert first == second
