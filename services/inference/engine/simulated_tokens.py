"""Tokens of the simulated engine: one per byte of UTF-8, within the vocabulary of a model."""

import string
from collections.abc import Sequence
from functools import cached_property

BYTES = 256
VOCABULARY_TOKENS = BYTES + 1
"""Every byte, and the end of a response."""

PRINTABLE = string.printable.encode()[:-3]
"""Bytes that a small vocabulary holds: ASCII without the rarest white space."""


class ByteTokens:
    """Between texts and token ids.

    Ids are below `vocabulary_tokens`, so that whoever trains the model whose vocabulary it is
    takes them. One that has not room for every byte holds printable ASCII, and reads the rest
    as question marks.

    Raises:
        ValueError: It has not even room for that.
    """

    def __init__(self, vocabulary_tokens: int = VOCABULARY_TOKENS) -> None:
        if vocabulary_tokens <= len(PRINTABLE):
            raise ValueError(
                f"vocabulary_tokens must be above {len(PRINTABLE)}, got {vocabulary_tokens}"
            )
        self.vocabulary_tokens = min(vocabulary_tokens, VOCABULARY_TOKENS)
        self.end = self.vocabulary_tokens - 1
        """Ends a response; not a byte."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return list(text.encode().translate(self._id_of))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens; the end has none."""
        ids = bytes(token for token in token_ids if token != self.end)
        return ids.translate(self._byte_of).decode(errors="replace")

    @cached_property
    def _id_of(self) -> bytes:
        if self.end == BYTES:
            return bytes(range(BYTES))
        unknown = PRINTABLE.index(b"?")
        return bytes(
            PRINTABLE.find(byte) if byte in PRINTABLE else unknown for byte in range(BYTES)
        )

    @cached_property
    def _byte_of(self) -> bytes:
        if self.end == BYTES:
            return bytes(range(BYTES))
        return PRINTABLE.ljust(BYTES, b"?")
