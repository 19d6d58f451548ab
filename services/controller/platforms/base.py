"""The port between decisions and the place where they come true."""

from typing import Protocol

from services.controller.decide import Action, Observed


class Platform(Protocol):
    """One run on one machine, in a Kubernetes namespace, or in the memory of a test."""

    async def observe(self) -> Observed:
        """Look at what concerns the run now. Read-only; called every tick.

        Raises:
            UnavailableError: Something does not answer; the next tick looks again.
        """
        ...

    async def apply(self, action: Action) -> None:
        """Move the world towards `action`. Applying twice must equal applying once.

        Raises:
            UnavailableError: Nothing changed or the change is unknown; the next tick retries.
        """
        ...
