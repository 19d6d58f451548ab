"""What a round costs: tokens, runs of programs, and time in which nobody works."""

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Seconds from some fixed moment on."""


class Busy:
    """How long at least one of several overlapping pieces of work was going on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = 0
        self._since_s = 0.0
        self._total_s = 0.0

    def seconds(self) -> float:
        """Busy time so far."""
        running_s = self._clock() - self._since_s if self._running else 0.0
        return self._total_s + running_s

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """Count the time inside as busy, once, however many are inside."""
        if self._running == 0:
            self._since_s = self._clock()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                self._total_s += self._clock() - self._since_s


@dataclass
class Tally:
    """What one step has done so far."""

    done: int = 0
    total: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    runs: Counter[str] = field(default_factory=Counter[str])
    not_executed: int = 0

    def count_runs(self, runs: Mapping[str, int]) -> None:
        """Add runs of programs by status."""
        self.runs.update(runs)


class Meter:
    """Measures the work on one run. `clock` is monotonic."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._engine = Busy(clock)
        self._sandbox = Busy(clock)
        self._any = Busy(clock)
        self._tallies: dict[str, Tally] = {}
        self._mark_s = clock()
        self._mark_busy_s = 0.0

    def tally(self, step: str) -> Tally:
        """The tally of a step, an empty one at first."""
        return self._tallies.setdefault(step, Tally())

    def restart(self, step: str) -> Tally:
        """Forget what the step has done, because it is played again."""
        self._tallies[step] = Tally()
        return self._tallies[step]

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """By step, in the order in which they began."""
        return self._tallies

    @contextlib.contextmanager
    def engine(self) -> Generator[None]:
        """The engine generates."""
        with self._engine.working(), self._any.working():
            yield

    @contextlib.contextmanager
    def sandbox(self) -> Generator[None]:
        """Programs are run and answers judged."""
        with self._sandbox.working(), self._any.working():
            yield

    @property
    def engine_s(self) -> float:
        """Time in which the engine worked."""
        return self._engine.seconds()

    @property
    def sandbox_s(self) -> float:
        """Time in which the sandbox worked."""
        return self._sandbox.seconds()

    def lap(self) -> tuple[float, float]:
        """Time since the last lap, and how much of it neither engine nor sandbox worked."""
        now_s, busy_s = self.clock(), self._any.seconds()
        wall_s, worked_s = now_s - self._mark_s, busy_s - self._mark_busy_s
        self._mark_s, self._mark_busy_s = now_s, busy_s
        return wall_s, max(0.0, wall_s - worked_s)
