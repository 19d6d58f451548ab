"""Observe, decide, act, wait. Nothing is remembered, so a restart is just another tick."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.controller.decide import Halt, Observed, Pause, Spec, decide
from services.controller.platforms.base import Platform
from zeroloop.errors import UnavailableError

logger = logging.getLogger(__name__)

Report = Callable[[Observed], None]


async def run(
    wanted: Callable[[], Spec],
    platform: Platform,
    *,
    tick_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    report: Report = lambda _: None,
) -> Halt | Pause:
    """Drive one run until it is over, suspended or in need of a person; return which.

    Args:
        wanted: What the user wants now; asked at every tick, because it may change.
        platform: Where the run is played.
        tick_s: Pause after a tick that failed. Others need none: an action that waits for
            something returns when it has happened or a bounded time has passed.
        sleep: How to wait.
        report: Is told what was seen, at every tick.
    """
    while True:
        try:
            observed = await platform.observe()
            report(observed)
            for action in decide(observed, wanted()):
                if isinstance(action, Halt | Pause):
                    return action
                logger.info("action_applied", extra={"action": repr(action)})
                await platform.apply(action)
            pause_s = 0.0
        except UnavailableError as error:
            logger.warning("tick_skipped", extra={"error": str(error)})
            pause_s = tick_s
        await sleep(pause_s)
