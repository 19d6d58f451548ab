"""The recipe's own sampling agrees with transformers."""

from dataclasses import replace

import pytest
import torch

from models.recipe.pretrain import build_model
from models.recipe.sampling import Sampler
from models.recipe.settings import RecipeSettings
from models.recipe.tokenizer import build_tokenizer

PROMPTS = [[10, 11, 12, 13], [20, 21], [30, 31, 32, 33, 34, 35, 36]]


@pytest.fixture(scope="module")
def model():
    settings = replace(RecipeSettings(), hidden=32, layers=2, heads=2, mlp=48)
    model = build_model(settings, build_tokenizer()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Clear probabilities, so that a wrong mask or position shows.
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture
def sampler(model):
    return Sampler(model, eos_id=2, pad_id=0)


def test_greedy_sampling_equals_transformers(model, sampler):
    responses = sampler.sample(PROMPTS, max_tokens=20, seed=1, greedy=True)
    for prompt, response in zip(PROMPTS, responses, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(ids, max_new_tokens=20, do_sample=False)[0, len(prompt) :]
        assert response.tokens == [token for token in expected.tolist() if token != 2]


def test_the_same_seed_gives_the_same_responses(sampler):
    first = sampler.sample(PROMPTS, max_tokens=20, seed=1)
    assert sampler.sample(PROMPTS, max_tokens=20, seed=1) == first
    assert sampler.sample(PROMPTS, max_tokens=20, seed=2) != first


def test_responses_stop_at_the_limit(sampler):
    for response in sampler.sample(PROMPTS, max_tokens=3, seed=1):
        assert len(response.tokens) == 3 or response.finished


def test_tokens_are_drawn_with_the_model_s_probabilities(model, sampler):
    prompt = PROMPTS[0]
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    draws = sampler.sample([prompt] * 2000, max_tokens=1, seed=3, batch=2000)
    likeliest = int(expected.argmax())
    share = sum(draw.tokens[:1] == [likeliest] for draw in draws) / len(draws)
    assert share == pytest.approx(float(expected[likeliest]), abs=0.05)
