"""The grammar's programs are what the recipe says they are."""

import ast
from random import Random

import pytest

from models.recipe.plays import draw_message, draw_play
from models.recipe.programs import (
    INT_MAX,
    ITEMS_MAX,
    TEXT_CHARS_MAX,
    draw_program,
    draw_value,
    is_held_out,
    trace,
)

PLAYS = 200


def plays(seed=1, **kwargs):
    random = Random(seed)
    return [draw_play(random, inputs=2, **kwargs) for _ in range(PLAYS)]


def test_the_text_of_a_program_is_a_fixed_point_of_unparsing():
    for play in plays():
        assert ast.unparse(ast.parse(play.program.text)) == play.program.text


def test_the_followed_state_ends_in_what_the_program_text_returns():
    for play in plays():
        names = {}
        exec(play.program.text, names)
        for index, value in enumerate(play.values):
            given = list(value) if isinstance(value, list) else value
            assert names["f"](given) == play.output(index)


def test_each_step_starts_where_the_one_before_ended():
    for play in plays():
        for value, steps in zip(play.values, play.traces, strict=True):
            state = value
            for step in steps:
                assert step.before == state
                state = step.after


def test_values_stay_within_bounds():
    for play in plays():
        for steps in play.traces:
            for step in steps:
                match step.after:
                    case int():
                        assert abs(step.after) <= INT_MAX
                    case str():
                        assert len(step.after) <= TEXT_CHARS_MAX
                    case _:
                        assert len(step.after) <= ITEMS_MAX


def test_the_same_seed_gives_the_same_plays_and_another_seed_others():
    assert plays(3) == plays(3)
    assert plays(3) != plays(4)


def test_inputs_of_a_play_are_distinct():
    for play in plays():
        assert play.cases[0].input != play.cases[1].input


@pytest.mark.parametrize("held_out", [False, True])
def test_a_play_is_on_the_side_of_the_split_that_was_asked_for(held_out):
    assert {play.program.held_out for play in plays(held_out=held_out)} == {held_out}


def test_the_split_goes_by_the_normalised_text():
    program = next(p for p in (draw_program(Random(seed)) for seed in range(500)) if p.held_out)
    respaced = program.text.replace(" = ", "=").replace("    ", "  ") + "  # a remark"
    assert is_held_out(respaced)


def test_about_one_program_in_twenty_is_held_out():
    random = Random(5)
    share = sum(draw_program(random).held_out for _ in range(4000)) / 4000
    assert 0.03 < share < 0.08


def test_a_program_that_fails_has_no_trace():
    random = Random(6)
    while True:
        program = draw_program(random)
        if program.statements[0].lines == ("x.pop()",):
            break
    assert trace(program.statements, []) is None


def test_a_program_like_another_begins_with_its_first_statement():
    random = Random(7)
    model = draw_play(random, inputs=1).program
    assert draw_program(random, first=model.statements[0]).statements[0] == model.statements[0]


def test_a_message_never_holds_a_statement():
    random = Random(8)
    for play in plays():
        message = draw_message(random, play.program)
        assert message
        assert not any(line in message for item in play.program.statements for line in item.lines)


def test_values_of_each_type_are_drawn():
    random = Random(9)
    types = {type(draw_value(random, draw_program(random).source)) for _ in range(100)}
    assert types == {list, int, str}


def test_inputs_of_a_play_are_in_the_order_of_their_text():
    for play in (draw_play(Random(seed), inputs=6) for seed in range(PLAYS)):
        inputs = [case.input for case in play.cases]
        assert inputs == sorted(inputs)
