"""Options are typed, bounded, and reported all at once when wrong."""

import dataclasses
import json

import pytest

from zeroloop.core.presets import PAPER, PRESETS, departures, preset
from zeroloop.core.settings import (
    AlgorithmSettings,
    SettingsError,
    allowed,
    describe,
    from_mapping,
    names,
)
from zeroloop.core.tasks import Kind


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_json(name: str) -> None:
    settings = PRESETS[name].settings
    assert from_mapping(json.loads(json.dumps(settings.to_mapping()))) == settings


def test_settings_survive_a_carrier_that_knows_floats_alone() -> None:
    carried = json.loads(json.dumps(PAPER.to_mapping()), parse_int=float)
    assert from_mapping(carried) == PAPER


def test_every_error_is_reported_at_once_with_name_allowed_and_got() -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping({"rollout": 4, "rollouts": 0, "equality": "strict", "clip": "x"})
    assert caught.value.problems == [
        "unknown option 'rollout'; did you mean rollouts?",
        "rollouts must be an integer from 1 to 256, got 0",
        "equality must be one of plain, typed, got 'strict'",
        "clip must be a number from 0.001 to 1, got 'x'",
    ]


def test_construction_validates_too() -> None:
    with pytest.raises(SettingsError, match="samples_per_group must be an integer from 1 to 4096"):
        AlgorithmSettings(samples_per_group=0)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rollouts", "4", 4),
        ("learning_rate", "1e-4", 1e-4),
        ("cpu_limit_s", "2", 2.0),
        ("train_on_mc_rollouts", "True", True),
        ("kinds", "deduction, induction", (Kind.DEDUCTION, Kind.INDUCTION)),
        ("prompt_style", "compact", "compact"),
        ("banned_modules", ["time"], ("time",)),
    ],
)
def test_a_text_is_read_as_the_type_of_its_option(name: str, text: object, value: object) -> None:
    assert getattr(from_mapping({name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rollouts", True),
        ("rollouts", 2.5),
        ("clip", float("nan")),
        ("paper_eq4", 1),
        ("kinds", ()),
        ("kinds", ("deduction", "deduction")),
        ("kinds", ("error",)),
        ("banned_modules", [1]),
        ("temperature", None),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be"):
        from_mapping({name: value})


def test_every_option_says_what_it_means_and_takes() -> None:
    assert all(describe(name) and allowed(name) for name in names())
    assert len(names()) == len(dataclasses.fields(AlgorithmSettings))


def test_the_paper_departs_from_itself_in_nothing() -> None:
    assert departures(PAPER) == []
    assert PRESETS["paper"].settings == PAPER


@pytest.mark.parametrize(
    ("point", "stated"),
    [
        ("D1", {"paper_eq4": False}),
        ("D2", {"same_step_tasks": False}),
        ("D3", {"advantage_norm": "token"}),
        ("D4", {"loss_mean": "token", "loss_chunk_sequences": 16}),
        ("D5", {"mc_temperature": 1.0, "seed_temperature": 1.0}),
        ("D6", {"entropy_coef": 0.001, "weight_decay": 0.01}),
        ("D7", {"clip": 0.2}),
        ("D8", {"determinism": "pair"}),
        ("D9", {"banned_match": "dotted"}),
        ("D10", {"equality": "plain"}),
        ("D11", {"allow_none_output": False}),
        ("D13", {"total_steps": 500}),
        ("D14", {"seed_batch_factor": 4}),
        ("D15", {"induction_check": "hidden"}),
        ("D16", {"buffer_full": "keep_newest"}),
        ("D17", {"composite_count": "inclusive", "composite_start_step": -1}),
        ("D18", {"reject_multiple_functions": True}),
        ("D19", {"long_output": "reject", "output_chars_max": 400}),
        ("D20", {"distinct_induction_inputs": True}),
        ("D21", {"prompt_tokens_max": 6144}),
        ("D22", {"cpu_limit_s": 10.0}),
        ("D23", {"train_on_mc_rollouts": False}),
    ],
)
def test_where_paper_and_reference_differ_the_default_is_the_stated_one(
    point: str, stated: dict[str, object]
) -> None:
    assert PAPER.to_mapping().items() >= stated.items(), point
    assert all(f"({point})" in describe(name) for name in [*stated][:1])


def test_the_papers_sizes() -> None:
    per_update = PAPER.samples_per_group * len(PAPER.kinds) * 2
    assert (per_update, PAPER.group_seeds, PAPER.induction_shown) == (384, 256, 5)
    assert (PAPER.cpu_limit_s, AlgorithmSettings().cpu_limit_s) == (10.0, 1.0)


def test_every_departure_of_a_preset_is_named_with_its_reason() -> None:
    for name, chosen in PRESETS.items():
        found = departures(chosen.settings, chosen)
        assert {departure.name for departure in found} == set(chosen.overrides), name
        assert all(departure.why != "set for this run" for departure in found)


def test_a_departure_of_the_user_is_told_from_the_presets() -> None:
    seedling = PRESETS["seedling"]
    settings = seedling.settings.with_changes({"rollouts": 4, "samples_per_group": 8})
    reasons = {departure.name: departure.why for departure in departures(settings, seedling)}
    assert reasons["rollouts"] == reasons["samples_per_group"] == "set for this run"
    assert reasons["prompt_style"] != "set for this run"


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="one of paper, seedling, got 'papr'"):
        preset("papr")
