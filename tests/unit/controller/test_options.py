"""Settings of a run: presets, overrides, and what is wrong with them, all at once."""

from typing import Any

import pytest

from services.controller.options import settings_of
from zeroloop.core.runs import RunSpec
from zeroloop.errors import InvalidRequestError


def spec(**settings: Any) -> RunSpec:
    return RunSpec(model="m", rounds=1, preset="seedling", settings=settings)


def test_a_preset_is_overridden_by_name_for_algorithm_and_platform() -> None:
    found = settings_of(spec(**{"rollouts": 4.0, "pipeline.overlap": False}))

    assert found.algorithm.rollouts == 4
    assert found.algorithm.prompt_style == "compact"
    assert not found.play.pipeline.overlap


def test_sections_may_also_be_nested() -> None:
    assert settings_of(spec(keep={"weights": 5})).play.keep.weights == 5


def test_the_settings_in_force_are_all_listed_by_name() -> None:
    mapping = settings_of(spec()).to_mapping()

    assert mapping["samples_per_group"] == 16
    assert mapping["limits.judge_calls_max"] > 0
    assert mapping["deterministic"] is False


def test_every_problem_is_reported_at_once() -> None:
    wrong = {"rollout": 4, "temperature": -1, "pipeline.overlapp": True, "keep.weights": 0}

    with pytest.raises(InvalidRequestError) as caught:
        settings_of(spec(**wrong))

    text = str(caught.value)
    assert "unknown option 'rollout'; did you mean rollouts?" in text
    assert "temperature" in text
    assert "unknown option 'pipeline.overlapp'" in text
    assert "keep.weights" in text
    assert len(caught.value.violations) == 4


def test_taking_turns_means_a_trainer_for_each_round() -> None:
    found = settings_of(spec(**{"training.colocate": True})).play.training
    assert found.segment_rounds == 1

    with pytest.raises(
        InvalidRequestError,
        match=r"rounds_per_job must be 1 with it, got 5: every round both have a turn$",
    ):
        settings_of(spec(**{"training.colocate": True, "training.rounds_per_job": 5}))


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(InvalidRequestError, match="one of paper, seedling"):
        settings_of(RunSpec(model="m", rounds=1, preset="grown"))
