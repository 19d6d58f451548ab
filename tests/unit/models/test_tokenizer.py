"""The seedling's tokenizer keeps every text, and counts tags as one token."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.recipe.tokenizer import CHARACTERS, MARKS, build_tokenizer

PRINTABLE = "".join(CHARACTERS)


def encoded(text, tokenizer=None):
    return (tokenizer or build_tokenizer()).encode(text, add_special_tokens=False)


@pytest.mark.parametrize("mark", MARKS)
def test_a_tag_or_fence_is_one_token(mark):
    assert len(encoded(mark)) == 1


@pytest.mark.parametrize(
    "text",
    [
        PRINTABLE,
        "<think>x</think><answer>```python\ndef f(x):\n        return x\n```</answer>",
        "``` ````python <thinker> </answer",
        "  two, three   and five     spaces",
    ],
)
def test_printable_text_survives(text):
    tokenizer = build_tokenizer()
    assert tokenizer.decode(encoded(text, tokenizer)) == text


def test_what_it_does_not_know_becomes_unknown_instead_of_an_error():
    tokenizer = build_tokenizer()
    assert encoded("é", tokenizer) == [tokenizer.unk_token_id]


def test_it_is_read_back_from_disk_as_the_same_one(tmp_path: Path):
    build_tokenizer().save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    text = PRINTABLE + "".join(MARKS)
    assert encoded(text, read) == encoded(text)
    assert read.eos_token_id == build_tokenizer().eos_token_id
