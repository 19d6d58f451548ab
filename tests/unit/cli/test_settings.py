"""Flags over environment over file over defaults; what nobody knows is refused."""

from pathlib import Path

import pytest

from zeroloop.cli.settings import PlaySettings, resolve, settings_file
from zeroloop.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zeroloop.toml"
    path.write_text(text)
    return path


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, '[play]\nrounds = 3\nseed = 3\nname = "three"\n')

    resolved = resolve(
        {"rounds": 1, "model": None},
        [],
        {"ZEROLOOP_PLAY__ROUNDS": "2", "ZEROLOOP_PLAY__SEED": "2", "HOME": "/"},
        file,
    )

    assert (resolved.rounds, resolved.seed, resolved.name) == (1, 2, "three")
    assert resolved.model == PlaySettings().model


def test_settings_merge_by_name(tmp_path: Path) -> None:
    file = write(tmp_path, "[settings]\nrollouts = 2\nreferences = 1\npipeline.overlap = true\n")

    resolved = resolve(
        {}, ["rollouts=4"], {"ZEROLOOP_PLAY__SET": "rollouts=3 learning_rate=3e-4"}, file
    )

    assert resolved.settings == {
        "rollouts": 4,
        "references": 1,
        "learning_rate": 3e-4,
        "pipeline.overlap": True,
    }
    assert resolved.algorithm.rollouts == 4


@pytest.mark.parametrize(
    ("model", "chosen", "preset"),
    [
        pytest.param("models/seedling", "", "seedling", id="the model that ships"),
        pytest.param("models/other", "", "paper", id="any other model"),
        pytest.param("models/other", "seedling", "seedling", id="asked for"),
    ],
)
def test_the_preset_follows_the_model_unless_asked_for(
    model: str, chosen: str, preset: str
) -> None:
    resolved = resolve({"model": model, "preset": chosen or None}, [], {}, None)

    assert resolved.preset_in_force == preset


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[play]\nronds = 3", "ronds is unknown; did you mean rounds?", id="name"),
        pytest.param("[pley]", r"section \[pley\] is unknown; did you mean play?", id="section"),
        pytest.param("[settings]\nrolouts = 3", "did you mean rollouts?", id="setting"),
        pytest.param("[settings]\nrollouts = 0", "rollouts must be an integer from 1", id="range"),
        pytest.param('[play]\nrounds = "x"', "rounds must be an integer, got 'x'", id="type"),
        pytest.param("[play]\nrounds = 0", "rounds must be at least 1, got 0", id="no rounds"),
        pytest.param('[play]\npreset = "papr"', "preset must be one of paper", id="preset"),
        pytest.param("play = 3", r"play must be a table, written as \[play\]", id="not a table"),
        pytest.param("[play", "is not TOML", id="not TOML"),
    ],
)
def test_what_the_file_has_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        resolve({}, [], {}, write(tmp_path, text))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "[play]\nronds = 3\n")

    with pytest.raises(ConfigError) as caught:
        resolve({}, ["rollouts"], {"ZEROLOOP_PLAY__SEEED": "1"}, file)

    assert len(str(caught.value).splitlines()) == 3


def test_the_file_is_the_flags_then_the_environments_then_the_folders(tmp_path: Path) -> None:
    variable = {"ZEROLOOP_PLAY__SETTINGS": "b.toml"}

    assert settings_file(None, {}, tmp_path) is None
    here = write(tmp_path, "")
    assert settings_file(None, {}, tmp_path) == here
    assert settings_file(None, variable, tmp_path) == Path("b.toml")
    assert settings_file(Path("a.toml"), variable, tmp_path) == Path("a.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: No such file"):
        resolve({}, [], {}, tmp_path / "nowhere.toml")
