"""Pretraining is repeatable, and goes on where it stopped."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.recipe import pretrain as pretrain_module
from models.recipe.batches import batches, learning_rate_ratio
from models.recipe.muon import orthogonal
from models.recipe.pretrain import (
    Pretraining,
    build_model,
    pretrain,
    recipe_digest,
    save_checkpoint,
)
from models.recipe.settings import FINISHING, PRETRAINING, RecipeSettings
from models.recipe.tokenizer import build_tokenizer

COURSES = (replace(PRETRAINING, texts=40), replace(FINISHING, texts=20))
SETTINGS = replace(
    RecipeSettings(), hidden=32, layers=1, heads=1, mlp=32, courses=COURSES, batch_tokens=1024
)
TOKENIZER = build_tokenizer()


def trained(checkpoint: Path) -> dict[str, torch.Tensor]:
    model = build_model(SETTINGS, TOKENIZER)
    pretrain(model, SETTINGS, TOKENIZER, checkpoint)
    return model.state_dict()


def assert_equal(first, second):
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_the_same_settings_give_the_same_weights(tmp_path):
    assert_equal(trained(tmp_path / "a.pt"), trained(tmp_path / "b.pt"))


def test_an_interrupted_pretraining_ends_in_the_same_weights(tmp_path):
    checkpoint = tmp_path / "pretraining.pt"
    pretraining = Pretraining(build_model(SETTINGS, TOKENIZER), SETTINGS)
    for index, batch in enumerate(batches(SETTINGS, TOKENIZER)):
        if index == 4:
            break
        pretraining.step(batch)
    save_checkpoint(pretraining, checkpoint)
    assert_equal(trained(tmp_path / "whole.pt"), trained(checkpoint))


def test_a_checkpoint_of_another_recipe_is_left_aside(tmp_path):
    other = replace(SETTINGS, seed=1)
    save_checkpoint(Pretraining(build_model(other, TOKENIZER), other), tmp_path / "other.pt")
    assert_equal(trained(tmp_path / "whole.pt"), trained(tmp_path / "other.pt"))


def test_a_changed_grammar_is_another_recipe(tmp_path, monkeypatch):
    before = recipe_digest(SETTINGS)
    shutil.copytree(Path(pretrain_module.__file__).parent, tmp_path / "recipe")
    monkeypatch.setattr(pretrain_module, "__file__", str(tmp_path / "recipe" / "pretrain.py"))
    assert recipe_digest(SETTINGS) == before
    with (tmp_path / "recipe" / "programs.py").open("a") as grammar:
        grammar.write("# another\n")
    assert recipe_digest(SETTINGS) != before


def test_the_loss_falls(tmp_path):
    settings = replace(SETTINGS, courses=(replace(PRETRAINING, texts=240),))
    pretraining = Pretraining(build_model(settings, TOKENIZER), settings)
    losses = []
    for batch in batches(settings, TOKENIZER):
        pretraining.step(batch)
        losses.append(pretraining.mean_loss)
    assert losses[-1] < losses[0] - 0.5


def test_batches_fit_the_budget_and_weigh_no_padding():
    for batch in batches(SETTINGS, TOKENIZER):
        assert batch.tokens.numel() <= SETTINGS.batch_tokens
        assert not batch.weights[batch.tokens == TOKENIZER.pad_token_id].any()


@pytest.mark.parametrize(("done", "ratio"), [(0.0, 0.0), (0.1, 0.9), (0.5, 0.5), (1.0, 0.0)])
def test_the_learning_rate_rises_and_falls(done, ratio):
    assert learning_rate_ratio(done, 0.02) == pytest.approx(ratio)


def test_muon_s_direction_is_close_to_orthogonal():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(12, 30)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_each_course_has_its_own_rise_and_fall_of_the_learning_rate():
    courses = (replace(PRETRAINING, texts=2000), replace(FINISHING, texts=1000))
    settings = replace(SETTINGS, courses=courses)
    rates = [(batch.done, batch.learning_rate) for batch in batches(settings, TOKENIZER)]
    first = [rate for done, rate in rates if done < 2 / 3]
    last = [rate for done, rate in rates if done >= 2 / 3]
    assert first[0] == last[0] == 0
    assert max(first) == pytest.approx(1, abs=0.1)
    assert max(last) == pytest.approx(FINISHING.learning_rate_ratio, abs=0.05)
