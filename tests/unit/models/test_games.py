"""Every response that the recipe teaches is a good one by the platform's own rules."""

from random import Random

import pytest

from models.recipe.games import (
    ZERO_TASKS,
    Example,
    backwards,
    draw_example,
    forwards,
    task_of,
)
from models.recipe.plays import draw_play
from models.recipe.programs import is_held_out
from models.recipe.running import ForkRunner
from models.recipe.settings import RecipeSettings
from models.recipe.tokenizer import build_tokenizer
from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import Proposal, Solution
from zeroloop.core.tasks import Kind, Outcome, Role

SETTINGS = RecipeSettings()
EXAMPLES = 90


@pytest.fixture(scope="module")
def runner():
    with ForkRunner() as runner:
        yield runner


def examples(seed=1) -> list[Example]:
    random = Random(seed)
    return [draw_example(random, SETTINGS) for _ in range(EXAMPLES)]


async def test_taught_proposals_are_valid_and_well_formed(runner):
    proposed = [example for example in examples() if example.spec.role is Role.PROPOSER]
    assert {example.spec.kind for example in proposed} == set(Kind)
    for example in proposed:
        proposal = Proposal(
            proposal_id="",
            kind=example.spec.kind,
            response=example.response,
            source=example.spec.task,
        )
        verdict = await CodeDomain().validate(proposal, SETTINGS.algorithm, runner)
        described_by_zero = example.spec.task == ZERO_TASKS[Kind.DEDUCTION]
        assert verdict.format_ok
        assert verdict.task is not None or described_by_zero, example.response


async def test_taught_answers_are_correct_in_the_required_layout(runner):
    solved = [example for example in examples() if example.spec.role is Role.SOLVER]
    assert {example.spec.kind for example in solved} == set(Kind)
    for example in solved:
        assert example.spec.task is not None
        solution = Solution(solution_id="", task=example.spec.task, response=example.response)
        judgement = await CodeDomain().judge(solution, SETTINGS.algorithm, runner)
        assert judgement.outcome is Outcome.CORRECT, example.response


def test_prompts_and_responses_fit_their_limits():
    tokenizer = build_tokenizer()
    for example in examples(2):
        prompt = tokenizer.encode(example.prompt(SETTINGS), add_special_tokens=False)
        response = tokenizer.encode(example.response, add_special_tokens=False)
        assert len(prompt) <= SETTINGS.algorithm.prompt_tokens_max
        assert len(response) < SETTINGS.algorithm.response_tokens_max


def test_no_taught_program_is_held_out():
    for example in examples(3):
        task = example.spec.task
        programs = [reference.program for reference in example.spec.references]
        programs += [task.program] if task else []
        zero = ZERO_TASKS[Kind.DEDUCTION].program
        for text in programs:
            assert text == zero or not is_held_out(text)


def test_some_answers_reason_first_and_some_do_not():
    responses = [each.response for each in examples() if each.spec.role is Role.SOLVER]
    direct = sum(response.startswith("</think>") for response in responses)
    assert 0.2 < direct / len(responses) < 0.8


def test_reasoning_follows_the_value_onwards_or_back():
    play = next(
        play
        for play in (draw_play(Random(seed), inputs=1) for seed in range(50))
        if len(play.traces[0]) > 1
    )
    steps = play.traces[0]
    first, last = steps[0], steps[-1]
    assert forwards(steps).splitlines()[0] == f"{first.statement.text}: {first.after!r}"
    assert backwards(steps).splitlines()[0] == f"{last.statement.text}: {last.before!r}"


def test_induction_tasks_show_half_of_their_cases():
    play = draw_play(Random(4), inputs=SETTINGS.num_inputs)
    task = task_of(play, Kind.INDUCTION, Random(4), SETTINGS)
    assert len(task.cases) == SETTINGS.num_inputs
    assert len(task.hidden_cases) == SETTINGS.num_inputs // 2
