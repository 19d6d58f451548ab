"""A request to stop, from a signal handler to whoever waits."""

import signal
from collections.abc import Callable
from types import FrameType


class StopRequest:
    """Set once, by SIGTERM or SIGINT. Holds no lock, so that a signal handler may set it."""

    def __init__(self) -> None:
        self._requested = False
        self._wake: list[Callable[[], object]] = []

    def __bool__(self) -> bool:
        return self._requested

    def request(self) -> None:
        """Ask everything to stop; asking again changes nothing."""
        if not self._requested:
            self._requested = True
            for wake in self._wake:
                wake()

    def wakes(self, callback: Callable[[], object]) -> None:
        """Have `callback` called on a request; it may run in a signal handler."""
        self._wake.append(callback)
        if self._requested:
            callback()

    def on_signals(self) -> None:
        """From now on SIGTERM and SIGINT are requests."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.request()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
