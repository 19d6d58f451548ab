"""What the controller measures for dashboards and alerts. No run or round is ever a label.

Gauges are about all runs that are played together: of ages and lags the worst, of figures the
mean. They are read from any thread.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry import metrics
from opentelemetry.metrics import Observation

from services._server import instruments, semconv
from services.controller.decide import Observed
from zeroloop.core import figures
from zeroloop.core.runs import Phase
from zeroloop.core.tasks import Kind, Outcome

_meter = metrics.get_meter(__name__)

_phases = instruments.counter(_meter, semconv.METRIC_RUN_PHASES)
_rounds = instruments.counter(_meter, semconv.METRIC_ROUNDS)
_round_duration = instruments.histogram(_meter, semconv.METRIC_ROUND_DURATION)
_round_idle = instruments.counter(_meter, semconv.METRIC_ROUND_IDLE)
_stage_duration = instruments.histogram(_meter, semconv.METRIC_STAGE_DURATION)
_samples = instruments.counter(_meter, semconv.METRIC_ROLLOUT_SAMPLES)
_weights_version = instruments.gauge(_meter, semconv.METRIC_WEIGHTS_VERSION)
_leads = instruments.gauge(_meter, semconv.METRIC_LEADS)

ALIVE = (Phase.PENDING, Phase.STARTING, Phase.PLAYING)

_OF_A_ROUND = {
    figures.SOLVER_ACCURACY: semconv.METRIC_LEARNING_ACCURACY,
    figures.VALIDITY: semconv.METRIC_LEARNING_VALIDITY,
    figures.LEARNABILITY: semconv.METRIC_LEARNING_LEARNABILITY,
    figures.LEARNABLE: semconv.METRIC_LEARNING_LEARNABLE,
    figures.HELDOUT_ACCURACY: semconv.METRIC_LEARNING_HELDOUT,
    figures.LOSS: semconv.METRIC_LEARNING_LOSS,
    figures.ENTROPY: semconv.METRIC_LEARNING_ENTROPY,
    figures.GRAD_NORM: semconv.METRIC_LEARNING_GRAD_NORM,
    figures.CLIP_FRACTION: semconv.METRIC_LEARNING_CLIPPED,
    figures.MISMATCH_KL: semconv.METRIC_LEARNING_MISMATCH,
}
"""Metrics by the figure that they show; where there is one by kind, those are shown."""


@dataclass(slots=True)
class _Run:
    """What is known of one run."""

    phase: Phase
    round_since_s: float
    progress_since_s: float
    replicas_wanted: int = 0
    replicas_serving: int = 0
    lag: int = 0
    train_failures: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])


class Playing:
    """The runs that wait or are played. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runs: dict[str, _Run] = {}

    def entered(self, name: str, phase: Phase) -> None:
        """A run is in `phase`."""
        if phase not in ALIVE:
            self.left(name)
            return
        run, now_s = self._runs.get(name), self._clock()
        if run is None or run.phase is Phase.PENDING:
            # Starting again and again is no progress, so that only the wait before is forgotten.
            self._runs[name] = run = _Run(phase, now_s, now_s)
        run.phase = phase

    def left(self, name: str) -> None:
        """A run is not played any more."""
        self._runs.pop(name, None)

    def seen(self, name: str, observed: Observed, replicas: int) -> None:
        """A look at a run that wants `replicas`."""
        run = self._runs.get(name)
        if run is None:
            return
        run.replicas_wanted, run.replicas_serving = replicas, len(observed.served)
        run.train_failures = observed.trainer_failures
        if observed.served:
            newest = max(*observed.served, observed.round_index if observed.trained else 0)
            run.lag = newest - min(observed.served)

    def advanced(self, name: str, found: Mapping[str, float], *, round_over: bool) -> None:
        """A run has stored something, with these figures."""
        run = self._runs.get(name)
        if run is None:
            return
        run.progress_since_s = self._clock()
        if round_over:
            run.round_since_s = self._clock()
        run.figures |= found

    # ---- what gauges say

    def phases(self) -> Iterable[Observation]:
        """How many runs are in each phase."""
        count = Counter(run.phase for run in self._all())
        return [Observation(count[phase], {semconv.PHASE: phase.value}) for phase in ALIVE]

    def replicas(self) -> Iterable[Observation]:
        """Replicas of all runs."""
        runs = self._all()
        wanted = sum(run.replicas_wanted for run in runs)
        serving = sum(run.replicas_serving for run in runs)
        return [
            Observation(wanted, {semconv.STATE: "wanted"}),
            Observation(serving, {semconv.STATE: "serving"}),
        ]

    def round_age(self) -> Iterable[Observation]:
        """Age of the oldest round."""
        return self._oldest(lambda run: run.round_since_s)

    def progress_age(self) -> Iterable[Observation]:
        """Longest time since a run stored something."""
        return self._oldest(lambda run: run.progress_since_s)

    def lag(self) -> Iterable[Observation]:
        """Versions behind, of the worst."""
        return [Observation(max((run.lag for run in self._all()), default=0))]

    def train_failures(self) -> Iterable[Observation]:
        """Failed attempts, of the worst."""
        return [Observation(max((run.train_failures for run in self._all()), default=0))]

    def figure(self, name: str) -> Iterable[Observation]:
        """The mean of a round's figure over the runs, by kind where the rounds have it so."""
        known: defaultdict[str, list[float]] = defaultdict(list)
        for run in self._all():
            for kind in ("", *Kind):
                value = run.figures.get(figures.by_kind(name, kind) if kind else name)
                if value is not None:
                    known[kind].append(value)
        if len(known) > 1:
            known.pop("", None)
        return [
            Observation(sum(values) / len(values), {semconv.TASK_TYPE: kind} if kind else {})
            for kind, values in known.items()
        ]

    def _oldest(self, since_s: Callable[[_Run], float]) -> Iterable[Observation]:
        now_s = self._clock()
        ages = (now_s - since_s(run) for run in self._all() if run.phase is not Phase.PENDING)
        return [Observation(max(ages, default=0.0))]

    def _all(self) -> list[_Run]:
        return list(self._runs.values())


playing = Playing(time.monotonic)


def _observe() -> None:
    instruments.observed(_meter, semconv.METRIC_RUNS, playing.phases)
    instruments.observed(_meter, semconv.METRIC_INFERENCE_REPLICAS, playing.replicas)
    instruments.observed(_meter, semconv.METRIC_ROUND_AGE, playing.round_age)
    instruments.observed(_meter, semconv.METRIC_RUN_PROGRESS_AGE, playing.progress_age)
    instruments.observed(_meter, semconv.METRIC_WEIGHTS_LAG, playing.lag)
    instruments.observed(_meter, semconv.METRIC_TRAIN_FAILURES, playing.train_failures)
    for figure, name in _OF_A_ROUND.items():
        instruments.observed(_meter, name, lambda figure=figure: playing.figure(figure))


_observe()


def leads(*, leading: bool) -> None:
    """Say whether this controller plays; the first word makes counters begin at 0.

    All but the idle time: it is divided by the rounds' time, a histogram, which begins with its
    first value. Both must miss the first round, or rounds seem to wait longer than they last.
    """
    _leads.set(int(leading))
    _rounds.add(0)
    for phase in Phase:
        _phases.add(0, {semconv.PHASE: phase.value})


def phase_entered(name: str, phase: Phase, *, changed: bool) -> None:
    """Note the phase of a run."""
    playing.entered(name, phase)
    if changed:
        _phases.add(1, {semconv.PHASE: phase.value})


def step_stored(name: str, step: str, found: Mapping[str, float]) -> None:
    """Count a stage that is over."""
    _stage_duration.record(found[figures.DURATION_S], {semconv.STAGE: step})
    heldout = {k: v for k, v in found.items() if k.startswith(f"{figures.HELDOUT_ACCURACY}.")}
    playing.advanced(name, heldout, round_over=False)


def round_ended(name: str, found: Mapping[str, float], *, seeds: bool) -> None:
    """Count a round that is over, unless it only `seeds` the buffer: that one trains nothing."""
    if not seeds:
        _rounds.add(1)
        _round_duration.record(found[figures.WALL_S])
        _round_idle.add(found[figures.IDLE_S])
    playing.advanced(name, found, round_over=True)


def sample_judged(kind: Kind, outcome: Outcome) -> None:
    """Count an answer of the solver."""
    _samples.add(1, {semconv.TASK_TYPE: kind.value, semconv.OUTCOME: outcome.value})


def weights_rolled(version: int) -> None:
    """Note the version that is served everywhere."""
    _weights_version.set(version)
