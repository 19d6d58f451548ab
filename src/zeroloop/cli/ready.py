"""Waiting until a service that listens can also work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from zeroloop.cli.children import Child, last_words
from zeroloop.errors import UnavailableError

T = TypeVar("T")

READY_S = 300.0
"""How long a model may take to load."""

_LOOK_S = 0.25


async def ready(child: Child, ask: Callable[[], Awaitable[T]], within_s: float = READY_S) -> T:
    """Return the answer of `ask` as soon as the service gives one.

    Raises:
        UnavailableError: It ended meanwhile, or is not ready in time.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            if child.process.returncode is not None:
                raise UnavailableError(
                    f"{child.name} ended with exit code {child.process.returncode}; its last "
                    f"words:\n{last_words(child.log)}"
                ) from error
            if time.monotonic() > deadline_s:
                raise UnavailableError(
                    f"{child.name} is not ready after {within_s:.0f} s: {error}"
                ) from error
        await asyncio.sleep(_LOOK_S)
