"""Asking a service until everything is answered, with patience but not for ever."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from zeroloop.errors import OverloadedError, UnavailableError

logger = logging.getLogger(__name__)

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 5.0

REPEATS_MAX = 3
"""How often an item is asked again that came back without an answer."""


@dataclass
class Patience:
    """How long an unavailable service is waited for. Progress refills it."""

    limit_s: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    waited_s: float = 0.0
    failures: int = 0

    def refill(self) -> None:
        """The service has answered something."""
        self.waited_s = 0.0
        self.failures = 0

    async def wait(self, error: UnavailableError) -> None:
        """Wait before the next attempt.

        Raises:
            UnavailableError: The limit is reached; it is the given error.
        """
        if self.waited_s >= self.limit_s:
            raise error
        pause_s = min(PAUSE_MIN_S * 2**self.failures, PAUSE_MAX_S)
        if isinstance(error, OverloadedError):
            pause_s = min(max(error.retry_after_s, PAUSE_MIN_S), PAUSE_MAX_S)
        self.failures += 1
        self.waited_s += pause_s
        logger.warning("service_unavailable", extra={"error": str(error), "pause_s": pause_s})
        await self.sleep(pause_s)


async def patiently(call: Callable[[], Awaitable[R]], patience: Patience) -> R:
    """Repeat an idempotent call while the service is unavailable."""
    while True:
        try:
            result = await call()
        except UnavailableError as error:
            await patience.wait(error)
        else:
            patience.refill()
            return result


async def ask_each(
    pending: dict[K, T],
    call: Callable[[Sequence[T]], AsyncGenerator[R]],
    *,
    answered: Callable[[R], K | None],
    patience: Patience,
) -> None:
    """Stream answers until every item has one; ask again for those without.

    Args:
        pending: Items by key; emptied.
        call: Asks for some items and yields answers in any order.
        answered: Takes an answer and returns the key of the item that it completes, None if
            the item needs more. An answer to an item that is not pending is ignored.
        patience: For the times when the service is unavailable.

    Raises:
        UnavailableError: The service stayed away, or kept leaving items without answer.
    """
    repeats = 0
    while pending:
        before = len(pending)
        try:
            async with aclosing(call(list(pending.values()))) as answers:
                async for answer in answers:
                    key = answered(answer)
                    if key is not None:
                        pending.pop(key, None)
                        patience.refill()
        except UnavailableError as error:
            await patience.wait(error)
            continue
        if pending:
            repeats = 0 if len(pending) < before else repeats + 1
            if repeats >= REPEATS_MAX:
                raise UnavailableError(f"{len(pending)} items were left without an answer")
            await patience.wait(UnavailableError(f"{len(pending)} items have no answer yet"))
