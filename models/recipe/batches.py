"""The pretraining text as batches of sequences of similar length.

Shape suffixes: B = sequences of a batch, T = tokens, padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from models.recipe.drills import draw_drill
from models.recipe.games import draw_example, propose_induction
from models.recipe.settings import Course, RecipeSettings

POOL_BATCHES = 48
"""Batches that are drawn, sorted by length and shuffled together."""

TYPICAL_TOKENS = 220
"""Of one text; only decides how many texts a pool has."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of similar length, padded on the right."""

    done: float
    """Share of the pretraining before this batch, in [0, 1)."""

    learning_rate: float
    """As a ratio of the recipe's peaks."""

    tokens: Tensor
    """Ids, shape BT."""

    weights: Tensor
    """Weight of each token in the loss, shape BT: 1 where taught, less where given."""

    num_tokens: int
    """Without padding."""


@dataclass(frozen=True, slots=True)
class _Text:
    tokens: list[int]
    weights: list[float]


def batches(settings: RecipeSettings, tokenizer: Any) -> Iterator[Batch]:
    """Every batch of the pretraining, the same ones for the same settings."""
    random = Random(settings.seed)
    behind = 0
    for course in settings.courses:
        for done, group in _groups(random, course, settings, tokenizer):
            ratio = course.learning_rate_ratio * learning_rate_ratio(done, settings.warmup_ratio)
            yield _padded(group, (behind + done * course.texts) / settings.texts, ratio)
        behind += course.texts


def learning_rate_ratio(done: float, warmup: float) -> float:
    """Linear warm-up, then linear decay to 0; `done` is the share of the course behind us."""
    return min(1.0, done / warmup) * (1 - done)


def _groups(
    random: Random, course: Course, settings: RecipeSettings, tokenizer: Any
) -> Iterator[tuple[float, list[_Text]]]:
    """The share of the course that is behind us, and the texts of the next batch."""
    pool_texts = POOL_BATCHES * settings.batch_tokens // TYPICAL_TOKENS
    for start in range(0, course.texts, pool_texts):
        count = min(pool_texts, course.texts - start)
        done = start / course.texts
        drawn = [_draw(random, course, done, settings, tokenizer) for _ in range(count)]
        groups = list(_grouped(sorted(drawn, key=lambda text: len(text.tokens)), settings))
        random.shuffle(groups)
        for index, group in enumerate(groups):
            yield (start + count * index / len(groups)) / course.texts, group


def _draw(
    random: Random, course: Course, done: float, settings: RecipeSettings, tokenizer: Any
) -> _Text:
    if random.random() < course.drill_share(done):
        segments = draw_drill(random, settings)
    elif course.describing_share and random.random() < course.describing_share:
        segments = propose_induction(random, settings).segments(settings)
    else:
        segments = draw_example(random, settings).segments(settings)
    text = _Text([], [])
    for segment in segments:
        ids = tokenizer.encode(segment.text, add_special_tokens=False)
        text.tokens.extend(ids)
        text.weights.extend([1.0 if segment.taught else settings.given_weight] * len(ids))
    text.tokens.append(tokenizer.eos_token_id)
    text.weights.append(1.0)
    return text


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


def _padded(group: list[_Text], done: float, learning_rate: float) -> Batch:
    longest = max(len(text.tokens) for text in group)
    tokens_BT = torch.zeros((len(group), longest), dtype=torch.long)
    weights_BT = torch.zeros((len(group), longest))
    for row, text in enumerate(group):
        length = len(text.tokens)
        tokens_BT[row, :length] = torch.tensor(text.tokens)
        weights_BT[row, :length] = torch.tensor(text.weights)
    num_tokens = sum(len(text.tokens) for text in group)
    return Batch(done, learning_rate, tokens_BT, weights_BT, num_tokens)
