"""The pretraining text as batches of sequences of similar length.

Shape suffixes: B = sequences of a batch, T = tokens, padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from models.recipe.games import draw_example, draw_notes
from models.recipe.settings import RecipeSettings

POOL_BATCHES = 48
"""Batches that are drawn, sorted by length and shuffled together."""

TYPICAL_TOKENS = 150
"""Of one text; only decides how many texts a pool has."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of similar length, padded on the right."""

    done: float
    """Share of the pretraining before this batch, in [0, 1)."""

    tokens: Tensor
    """Ids, shape BT."""

    weights: Tensor
    """Weight of each token in the loss, shape BT: 1 in responses and notes, less in prompts."""

    num_tokens: int
    """Without padding."""


@dataclass(frozen=True, slots=True)
class _Text:
    tokens: list[int]
    prompt_tokens: int


def batches(settings: RecipeSettings, tokenizer: Any) -> Iterator[Batch]:
    """Every batch of the pretraining, the same ones for the same settings."""
    random = Random(settings.seed)
    pool_texts = POOL_BATCHES * settings.batch_tokens // TYPICAL_TOKENS
    for start in range(0, settings.texts, pool_texts):
        count = min(pool_texts, settings.texts - start)
        drawn = [_draw(random, settings, tokenizer) for _ in range(count)]
        groups = list(_grouped(sorted(drawn, key=lambda text: len(text.tokens)), settings))
        random.shuffle(groups)
        for index, group in enumerate(groups):
            done = (start + count * index / len(groups)) / settings.texts
            yield _padded(group, done, settings)


def _draw(random: Random, settings: RecipeSettings, tokenizer: Any) -> _Text:
    if random.random() < settings.notes_share:
        prompt, response = "", draw_notes(random, settings)
    else:
        example = draw_example(random, settings)
        prompt, response = example.prompt(settings), example.response
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    response_ids = tokenizer.encode(response, add_special_tokens=False)
    return _Text([*prompt_ids, *response_ids, tokenizer.eos_token_id], len(prompt_ids))


def _grouped(texts: list[_Text], settings: RecipeSettings) -> Iterator[list[_Text]]:
    """Split texts sorted by length into batches that fit the budget when padded."""
    group: list[_Text] = []
    for text in texts:
        if group and (len(group) + 1) * len(text.tokens) > settings.batch_tokens:
            yield group
            group = []
        group.append(text)
    if group:
        yield group


def _padded(group: list[_Text], done: float, settings: RecipeSettings) -> Batch:
    longest = max(len(text.tokens) for text in group)
    tokens_BT = torch.zeros((len(group), longest), dtype=torch.long)
    weights_BT = torch.zeros((len(group), longest))
    for row, text in enumerate(group):
        length = len(text.tokens)
        tokens_BT[row, :length] = torch.tensor(text.tokens)
        weights_BT[row, : text.prompt_tokens] = settings.prompt_weight
        weights_BT[row, text.prompt_tokens : length] = 1.0
    return Batch(done, tokens_BT, weights_BT, sum(len(text.tokens) for text in group))
