"""How far a run has come, how fast it is, and when it will be done."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.controller.rounds.meter import Clock, Meter, Tally
from services.controller.steps import Step
from zeroloop.core import figures

WINDOW_S = 5.0
"""Rates are means over this much time."""

ROUNDS_REMEMBERED = 5
"""The time left follows from the last rounds."""


@dataclass
class Pace:
    """Durations of what has been played, for guessing what is left."""

    clock: Clock
    rounds: int
    rounds_s: deque[float] = field(default_factory=lambda: deque[float](maxlen=ROUNDS_REMEMBERED))
    evaluation_s: float = 0.0
    began_s: float = field(init=False)
    round: int = 0

    def __post_init__(self) -> None:
        # A run that is taken up again may be at the end of a round that began elsewhere.
        self.began_s = self.clock()

    def begin(self, round_index: int) -> None:
        """A round begins."""
        if round_index != self.round:
            self.round, self.began_s = round_index, self.clock()

    def end(self) -> float:
        """The round is over; return how long it took."""
        took_s = self.clock() - self.began_s
        if self.round > 0:
            self.rounds_s.append(took_s)
        return took_s

    def remaining_s(self) -> float | None:
        """Time until the run ends; None while there is nothing to go by."""
        if not self.rounds_s:
            return None
        mean_s = sum(self.rounds_s) / len(self.rounds_s)
        this_s = max(0.0, mean_s - (self.clock() - self.began_s))
        return this_s + mean_s * max(0, self.rounds - self.round) + self.evaluation_s


class Progress:
    """Turns the meter's counts into figures for watchers."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._samples: deque[tuple[float, int, int]] = deque()

    def sample(self) -> tuple[Step | None, dict[str, float]]:
        """The step that is being played and its figures."""
        tallies = self._meter.tallies
        tokens = sum(tally.tokens for tally in tallies.values())
        runs = sum(tally.runs.total() for tally in tallies.values())
        self._remember(tokens, runs)
        step = _present(tallies)
        found = self._rates()
        if step is not None:
            found[figures.DONE] = tallies[step].done
            found[figures.TOTAL] = tallies[step].total
        return step, found

    def _remember(self, tokens: int, runs: int) -> None:
        now_s = self._meter.clock()
        # A step that is played again starts to count anew.
        if self._samples and tokens < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now_s, tokens, runs))
        while len(self._samples) > 2 and now_s - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()

    def _rates(self) -> dict[str, float]:
        (start_s, tokens_0, runs_0), (end_s, tokens_1, runs_1) = self._samples[0], self._samples[-1]
        took_s = end_s - start_s
        if took_s <= 0:
            return {}
        return {
            figures.TOKENS_PER_S: (tokens_1 - tokens_0) / took_s,
            figures.EXECUTIONS_PER_S: max(0, runs_1 - runs_0) / took_s,
        }


def _present(tallies: Mapping[str, Tally]) -> Step | None:
    """The first step that is not finished, else the last one."""
    started = [(Step(name), tally) for name, tally in tallies.items()]
    unfinished = (step for step, tally in started if tally.done < tally.total)
    return next(unfinished, started[-1][0] if started else None)
