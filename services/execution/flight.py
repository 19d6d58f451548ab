"""A run on its way in a sandbox, and what may become of it."""

import asyncio
from collections.abc import Callable

from services.execution.frames import Done, RunOrder
from services.execution.meter import Sample


class SandboxLostError(Exception):
    """The sandbox is gone, and the run with it."""


class ResetImpossibleError(Exception):
    """Mode `reset` does not work in this sandbox; says why."""


class RunNotStartedError(Exception):
    """The run failed before its program began; the sandbox is well."""


End = Done | SandboxLostError | RunNotStartedError
"""What may become of a run."""


class Flight:
    """A run that is under way."""

    def __init__(
        self, order: RunOrder, slot: int | None, started_s: float, land: Callable[[End], None]
    ) -> None:
        self.order = order
        self.slot = slot
        """In `strict`, of the child."""

        self.started_s = started_s
        """In `reset`, when it was asked for, until it is seen to take long."""

        self.land = land
        self.baseline = Sample()
        self.used_before_s: float | None = None
        """What counts as used before the baseline was taken; None if there is none yet."""


def settle(future: asyncio.Future[Done], result: End) -> None:
    """Hand an end to whoever waits for it, if anybody still does."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # seen, even if the caller was cancelled
    else:
        future.set_result(result)
