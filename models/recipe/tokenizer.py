"""The seedling's tokenizer: one token per character, and one for each tag and fence.

The tags and fences make up most of a short response. As one token each they cost a sixth of the
time, and a solver's reward falls on what it decided instead of on spelling.
"""

from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
CHARACTERS = ("\n", "\t", *(chr(code) for code in range(32, 127)))
MARKS = (
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "```python",
    "```input",
    "```output",
    "```message",
    "```",
    "    ",
)
"""Tags, fences and one level of indentation."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; its ids depend on nothing but this file."""
    specials = (PAD, BOS, EOS, UNKNOWN)
    vocabulary = {token: index for index, token in enumerate((*specials, *CHARACTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
