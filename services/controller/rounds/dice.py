"""Every random choice of a run follows from its seed and from what the choice is for."""

import hashlib
import random

SEED_BITS = 48
"""Fits every engine's seed with room for adding the index of a sample, and a double exactly."""


def derive(seed: int, *purpose: str | int) -> int:
    """Return the seed for one purpose, such as `derive(7, round, "propose", kind, index)`.

    The same on every machine and in every version of Python, unlike `hash`. Different
    purposes give unrelated seeds, so no order of drawing has to be kept.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[: SEED_BITS // 8], "big")


def dice(seed: int, *purpose: str | int) -> random.Random:
    """Return a generator for one purpose."""
    return random.Random(derive(seed, *purpose))
