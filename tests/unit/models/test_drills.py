"""Drills practise the layout of the games on programs that are not held out."""

import ast
import re
from random import Random

import pytest

from models.recipe.batches import batches
from models.recipe.drills import cases, chain, draw_drill, hints
from models.recipe.programs import is_held_out
from models.recipe.settings import PRETRAINING, RecipeSettings
from models.recipe.tokenizer import build_tokenizer

SETTINGS = RecipeSettings()
SEEDS = range(40)


def whole(segments) -> str:
    return "".join(segment.text for segment in segments)


def programs_in(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)


@pytest.mark.parametrize("drill", [cases, hints])
def test_programs_of_drills_are_not_held_out(drill):
    for seed in SEEDS:
        programs = programs_in(whole(drill(Random(seed), SETTINGS)))
        assert programs
        assert not any(is_held_out(program) for program in programs)


def test_a_drill_of_cases_gives_the_case_and_teaches_its_answer():
    for seed in SEEDS:
        program, *rest = cases(Random(seed), SETTINGS)
        names = {}
        exec(programs_in(program.text)[0], names)
        assert len(rest) == 2 * SETTINGS.drill_cases
        for given, taught in zip(rest[::2], rest[1::2], strict=True):
            assert (given.taught, taught.taught) == (False, True)
            found = dict(re.findall(r"```(input|output)\n(.*)\n```", given.text + taught.text))
            assert names["f"](ast.literal_eval(found["input"])) == ast.literal_eval(found["output"])


def test_a_drill_of_hints_teaches_the_program_of_each_hint():
    for seed in SEEDS:
        segments = hints(Random(seed), SETTINGS)
        given, taught = segments[::2], segments[1::2]
        assert len(taught) == SETTINGS.drill_hints
        assert all("```message" in segment.text and not segment.taught for segment in given)
        assert all(programs_in(segment.text) and segment.taught for segment in taught)


def test_a_chain_has_as_many_steps_as_the_settings_say():
    for seed in SEEDS:
        segments = chain(Random(seed), SETTINGS)
        direction, _, *steps = whole(segments).splitlines()
        assert direction in {"forwards", "backwards"}
        assert len(steps) == SETTINGS.chain_steps
        assert sum(segment.taught for segment in segments) == SETTINGS.chain_steps


def test_drills_fit_the_context():
    tokenizer = build_tokenizer()
    for seed in range(200):
        text = whole(draw_drill(Random(seed), SETTINGS))
        assert len(tokenizer.encode(text, add_special_tokens=False)) < SETTINGS.context


def test_drills_give_way_to_games():
    assert PRETRAINING.drill_share(0.0) == pytest.approx(PRETRAINING.first_drill_share)
    assert PRETRAINING.drill_share(1.0) == pytest.approx(PRETRAINING.last_drill_share)


def test_what_is_given_weighs_less_than_what_is_taught():
    first = next(iter(batches(SETTINGS, build_tokenizer())))
    padding, given, taught = first.weights.unique().tolist()
    assert padding == 0.0
    assert given == pytest.approx(SETTINGS.given_weight)
    assert taught == 1.0
