"""The simulated engine stays in the vocabulary of the model that it stands in for."""

import json
from pathlib import Path

import pytest

from services.inference.application import launcher
from services.inference.config import InferenceSettings
from services.inference.engine.simulated_tokens import PRINTABLE, ByteTokens
from services.inference.keeper import Served
from zeroloop.core.generation import Sampling

SEEDLING = Path(__file__).parents[3] / "models" / "seedling"


async def test_what_is_drawn_for_a_small_model_can_be_trained_on_by_it() -> None:
    config = json.loads((SEEDLING / "config.json").read_text())
    settings = InferenceSettings(model=str(SEEDLING), engine="simulated")
    engine = await launcher(settings, {})(Served(0, str(SEEDLING)))

    prompt = engine.encode("propose deduction: ```python\ndef f(a):\n    return a\n```")
    drawn = await engine.draw(prompt, Sampling(max_tokens=400, logprobs=True), 7)

    ids = [*prompt, *drawn.token_ids]
    assert max(ids) < config["vocab_size"]
    assert engine.info.context_tokens == config["max_position_embeddings"]
    assert "</think>" in engine.decode(drawn.token_ids)


@pytest.mark.parametrize("vocabulary_tokens", [98, 111, 256, 257, 151_936])
def test_what_is_printed_survives_in_every_vocabulary(vocabulary_tokens: int) -> None:
    tokens = ByteTokens(vocabulary_tokens)
    text = PRINTABLE.decode()

    ids = tokens.encode(text)

    assert len(ids) == len(text)
    assert max(ids) < tokens.end < vocabulary_tokens
    assert tokens.decode([*ids, tokens.end]) == text


def test_a_small_vocabulary_reads_the_rest_as_question_marks() -> None:
    tokens = ByteTokens(111)

    assert tokens.decode(tokens.encode("f(é)")) == "f(??)"
    assert ByteTokens().decode(ByteTokens().encode("f(é)")) == "f(é)"


def test_a_vocabulary_without_room_for_text_is_refused() -> None:
    with pytest.raises(ValueError, match="above 97, got 64"):
        ByteTokens(64)
