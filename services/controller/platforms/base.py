"""The port between decisions and the place where they come true."""

from typing import Protocol

from services.controller.decide import Action, Observed
from zeroloop.core.runs import Endpoints


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


class RunPlatform(Platform, Protocol):
    """A platform with what the runs need to know and do besides playing."""

    @property
    def endpoints(self) -> Endpoints:
        """Where the run's services listen."""
        ...

    @property
    def problem(self) -> str:
        """Why a service is broken; empty if none is."""
        ...

    async def rest(self, *, completed: bool) -> None:
        """The run is not played for now: hold nothing that others could use.

        Args:
            completed: It is over, as opposed to suspended or in need of a person.
        """
        ...

    async def close(self) -> None:
        """Leave the run: end what would not outlive this process."""
        ...
