"""The folder that ships is complete, sealed and small, and its tasks are held out."""

import hashlib
from pathlib import Path
from random import Random
from statistics import mean

import pytest
from safetensors import safe_open

from models.recipe.heldout import read_held_out, task_from_json, task_to_json
from models.recipe.plays import draw_play
from models.recipe.programs import is_held_out
from models.recipe.running import ForkRunner
from models.recipe.settings import RecipeSettings
from zeroloop.core.manifest import MANIFEST_NAME, parse_manifest
from zeroloop.core.tasks import Kind

FOLDER = Path(__file__).parents[3] / "models" / "seedling"
WEIGHTS_BYTES_MAX = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def held_out():
    return read_held_out(FOLDER)


def test_the_manifest_seals_every_file():
    manifest = parse_manifest((FOLDER / MANIFEST_NAME).read_bytes())
    names = {path.name for path in FOLDER.iterdir()} - {MANIFEST_NAME}
    assert set(manifest.files) == names
    for name, digest in manifest.files.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest.sha256, name


def test_the_weights_are_small_and_in_float32():
    weights = FOLDER / "model.safetensors"
    assert weights.stat().st_size <= WEIGHTS_BYTES_MAX
    with safe_open(weights, "pt") as tensors:
        names = tensors.keys()
        assert {str(tensors.get_slice(name).get_dtype()) for name in names} == {"F32"}


def test_there_are_as_many_held_out_tasks_of_each_kind_as_the_recipe_says(held_out):
    counts = {kind: sum(task.kind is kind for task in held_out) for kind in Kind}
    assert set(counts.values()) == {RecipeSettings().held_out_tasks}


def test_held_out_tasks_are_different_and_their_programs_never_trained_on(held_out):
    different = {(task.kind, task.program, task.cases) for task in held_out}
    assert len(different) == len(held_out)
    assert all(is_held_out(task.program) for task in held_out)


def test_held_out_programs_are_as_long_as_those_of_the_games(held_out):
    random = Random(0)
    games = [draw_play(random, inputs=1).program.text.count("\n") for _ in range(len(held_out))]
    lines = [task.program.count("\n") for task in held_out]
    assert mean(lines) == pytest.approx(mean(games), abs=0.3)


async def test_held_out_outputs_are_what_the_programs_return(held_out):
    with ForkRunner() as runner:
        for task in held_out[::30]:
            results = await runner.run(task.source, [case.input for case in task.cases])
            assert [result.value for result in results] == [case.output for case in task.cases]


def test_tasks_survive_their_text(held_out):
    for task in held_out[::100]:
        assert task_from_json(task_to_json(task)) == task
