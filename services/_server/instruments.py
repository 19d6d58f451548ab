"""Every metric: what it says, in which unit, with which labels and buckets.

Instruments are made from this list and from nothing else, so that it is also the list of what
Prometheus can be asked for. Neither a run nor a round is ever a label.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    Observation,
)
from opentelemetry.metrics import _Gauge as Gauge

from services._server import semconv


class Kind(StrEnum):
    """How the values of a metric go together."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


CALLS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
PROGRAMS_S = (
    *(1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60),
)
PAUSES_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
STAGES_S = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)
"""From a seedling's stage to a round of a large model."""

SUFFIXES = {"s": "_seconds"}
"""What the Prometheus exporter makes of a unit; others are not part of the name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the platform."""

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper ends of a histogram's buckets, in its unit."""

    @property
    def family(self) -> str:
        """Its name at `/metrics`, without what a histogram's series end with."""
        suffix = SUFFIXES.get(self.unit, "") + ("_total" if self.kind is Kind.COUNTER else "")
        return self.name.replace(".", "_") + suffix

    @property
    def series(self) -> tuple[str, ...]:
        """Names that a query may use."""
        if self.kind is not Kind.HISTOGRAM:
            return (self.family,)
        return tuple(f"{self.family}_{end}" for end in ("bucket", "sum", "count"))


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_OF_A_TASK = (semconv.TASK_TYPE,)
_OF_A_CALL = (semconv.RPC_METHOD, semconv.RPC_STATUS, semconv.ERROR_TYPE)
_OF_A_PROGRAM = (semconv.STATUS, semconv.ISOLATION, semconv.MODE)

METRICS: tuple[Metric, ...] = (
    # ---- every service
    Metric(
        *(semconv.METRIC_SERVING, _G, "1", "1 while the service calls itself serving, else 0."),
        (semconv.COMPONENT,),
    ),
    Metric(
        *(semconv.METRIC_RPC_DURATION, _H, "s", "Calls that were answered, by how they ended."),
        *(_OF_A_CALL, CALLS_S),
    ),
    # ---- the controller
    Metric(
        semconv.METRIC_LEADS, _G, "1", "1 for the controller that plays, 0 for those that wait."
    ),
    Metric(
        *(semconv.METRIC_RUNS, _G, "{run}", "Runs that wait, start or are played."),
        (semconv.PHASE,),
    ),
    Metric(
        *(semconv.METRIC_RUN_PHASES, _C, "{run}", "Runs that came into a phase."),
        (semconv.PHASE,),
    ),
    Metric(
        *(semconv.METRIC_RUN_PROGRESS_AGE, _G, "s"),
        "Time since the run that has waited longest stored something; 0 if none is played.",
    ),
    Metric(semconv.METRIC_ROUNDS, _C, "{round}", "Trained rounds whose weights are served."),
    Metric(
        *(semconv.METRIC_ROUND_AGE, _G, "s", "Age of the oldest round that is being played."),
    ),
    Metric(
        *(semconv.METRIC_ROUND_DURATION, _H, "s", "From the first stage to the roll."),
        *((), STAGES_S),
    ),
    Metric(
        *(semconv.METRIC_ROUND_IDLE, _C, "s"),
        "Part of the rounds in which neither engine, sandbox nor optimiser worked.",
    ),
    Metric(
        *(semconv.METRIC_STAGE_DURATION, _H, "s", "Of the stages; some of them overlap."),
        *((semconv.STAGE,), STAGES_S),
    ),
    Metric(
        *(semconv.METRIC_ROLLOUT_SAMPLES, _C, "{sample}"),
        "Judged answers of the solver, by kind and outcome.",
        (semconv.TASK_TYPE, semconv.OUTCOME),
    ),
    Metric(
        *(semconv.METRIC_INFERENCE_REPLICAS, _G, "{replica}"),
        "Engine replicas of the runs that are played: wanted, and serving.",
        (semconv.STATE,),
    ),
    Metric(
        *(semconv.METRIC_WEIGHTS_LAG, _G, "{version}"),
        "Versions that the replica furthest behind is behind the newest one.",
    ),
    Metric(
        *(semconv.METRIC_TRAIN_FAILURES, _G, "{attempt}"),
        "Attempts in a row that failed to train, of the run with most.",
    ),
    # ---- learning: of each run that is played the last round's, then the mean over the runs
    Metric(
        *(semconv.METRIC_LEARNING_ACCURACY, _G, "1"),
        *("Mean accuracy of the solver's answers.", _OF_A_TASK),
    ),
    Metric(
        *(semconv.METRIC_LEARNING_VALIDITY, _G, "1"),
        *("Share of the proposals that are tasks.", _OF_A_TASK),
    ),
    Metric(
        *(semconv.METRIC_LEARNING_LEARNABILITY, _G, "1"),
        *("Mean reward of the proposed tasks for being learnable.", _OF_A_TASK),
    ),
    Metric(
        *(semconv.METRIC_LEARNING_LEARNABLE, _G, "1"),
        *("Share of the tasks that the solver neither always nor never solves.", _OF_A_TASK),
    ),
    Metric(
        *(semconv.METRIC_LEARNING_HELDOUT, _G, "1"),
        *("Mean accuracy on held-out tasks.", _OF_A_TASK),
    ),
    Metric(semconv.METRIC_LEARNING_LOSS, _G, "1", "Loss of the optimiser step."),
    Metric(semconv.METRIC_LEARNING_ENTROPY, _G, "{nat}", "Entropy of the next-token distribution."),
    Metric(semconv.METRIC_LEARNING_GRAD_NORM, _G, "1", "Norm of the gradient before clipping."),
    Metric(
        *(semconv.METRIC_LEARNING_CLIPPED, _G, "1"),
        "Share of the tokens whose probability ratio left the clip range.",
    ),
    Metric(
        *(semconv.METRIC_LEARNING_MISMATCH, _G, "{nat}"),
        "KL divergence of engine and trainer per token.",
    ),
    # ---- inference
    Metric(
        *(semconv.METRIC_INFERENCE_TOKENS, _C, "{token}"),
        "Tokens of the calls that were answered: input, output.",
        (semconv.GEN_AI_TOKEN_TYPE,),
    ),
    Metric(semconv.METRIC_WEIGHTS_VERSION, _G, "{version}", "Version of the weights served."),
    Metric(
        *(semconv.METRIC_WEIGHTS_APPLY_DURATION, _H, "s"),
        "Time during which no call was served because weights changed.",
        *((), PAUSES_S),
    ),
    # ---- execution, reward, buffer
    Metric(
        *(semconv.METRIC_EXEC_DURATION, _H, "s", "Wall-clock time of one run of a program."),
        *(_OF_A_PROGRAM, PROGRAMS_S),
    ),
    Metric(
        *(semconv.METRIC_EXEC_RUNS, _C, "{run}", "Runs of programs by how they ended."),
        _OF_A_PROGRAM,
    ),
    Metric(
        *(semconv.METRIC_EXEC_REPEATED, _C, "{run}"),
        "Runs that were odd in mode `reset`, and so run again in `strict`.",
    ),
    Metric(
        *(semconv.METRIC_EXEC_CHECKED, _C, "{run}"),
        "Ordinary runs of mode `reset` compared with `strict`: yes, no, by_mode, unknown.",
        (semconv.AGREES,),
    ),
    Metric(
        *(semconv.METRIC_EXEC_CACHE, _C, "{look}", "Looks for a known result: hit, miss."),
        (semconv.OUTCOME,),
    ),
    Metric(
        *(semconv.METRIC_EXEC_INFO, _G, "1", "Always 1: what isolates programs, and runs them."),
        (
            *(semconv.ISOLATION, semconv.PLATFORM, semconv.RUNTIME_VERSION),
            *(semconv.PYTHON_VERSION, semconv.MODES),
        ),
    ),
    Metric(
        # No histogram: those take no values below zero.
        *(semconv.METRIC_REWARDS, _C, "{reward}", "Rewards by role, rounded to tenths."),
        (semconv.REWARD_KIND, semconv.REWARD_VALUE),
    ),
    Metric(
        *(semconv.METRIC_BUFFER_ITEMS, _G, "{task}", "Tasks in the buffers of all runs."),
        _OF_A_TASK,
    ),
    Metric(
        *(semconv.METRIC_BUFFER_LEASE_EXPIRED, _C, "{lease}"),
        "Leases that ran out or were given back before their batch was trained.",
    ),
    # ---- the trainer
    Metric(
        *(semconv.METRIC_TRAIN_STEP_DURATION, _H, "s", "One optimiser step."),
        *((), STAGES_S),
    ),
    Metric(semconv.METRIC_TRAIN_TOKENS, _C, "{token}", "Response tokens trained on."),
)

_BY_NAME = {metric.name: metric for metric in METRICS}

Observe = Callable[[], Iterable[Observation]]


def counter(meter: Meter, name: str) -> Counter:
    """Make a counter of the list."""
    metric = _listed(name, Kind.COUNTER)
    return meter.create_counter(name, metric.unit, metric.description)


def gauge(meter: Meter, name: str) -> Gauge:
    """Make a gauge of the list that says what was set last."""
    metric = _listed(name, Kind.GAUGE)
    return meter.create_gauge(name, metric.unit, metric.description)


def observed(meter: Meter, name: str, observe: Observe) -> None:
    """Make a gauge or counter of the list that asks `observe`, from any thread, when it is read.

    Of a counter it tells the total; where things happen by the thousand, nothing costs less.
    """
    metric = _BY_NAME[name]
    makers = {
        Kind.GAUGE: meter.create_observable_gauge,
        Kind.COUNTER: meter.create_observable_counter,
    }

    def answer(_: CallbackOptions) -> Iterable[Observation]:
        return observe()

    makers[metric.kind](name, [answer], metric.unit, metric.description)


def histogram(meter: Meter, name: str) -> Histogram:
    """Make a histogram of the list."""
    metric = _listed(name, Kind.HISTOGRAM)
    return meter.create_histogram(
        name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.bounds
    )


def _listed(name: str, kind: Kind) -> Metric:
    metric = _BY_NAME[name]
    assert metric.kind is kind, f"{name} is a {metric.kind}"
    return metric
