"""What the controller measures for dashboards. No run or round is ever a label."""

from opentelemetry import metrics

from services._server import semconv
from zeroloop.core.tasks import Kind, Outcome

_meter = metrics.get_meter(__name__)

_rounds = _meter.create_counter(
    semconv.METRIC_ROUNDS, unit="{round}", description="Rounds whose weights are served."
)
_round_duration = _meter.create_histogram(
    semconv.METRIC_ROUND_DURATION, unit="s", description="From the first stage to the roll."
)
_samples = _meter.create_counter(
    semconv.METRIC_ROLLOUT_SAMPLES,
    unit="{sample}",
    description="Judged answers of the solver, by kind and outcome.",
)
_weights_version = _meter.create_gauge(
    semconv.METRIC_WEIGHTS_VERSION, description="Version that every replica serves."
)


def round_ended(duration_s: float) -> None:
    """Count a round that is over."""
    _rounds.add(1)
    _round_duration.record(duration_s)


def sample_judged(kind: Kind, outcome: Outcome) -> None:
    """Count an answer of the solver."""
    _samples.add(1, {semconv.TASK_TYPE: kind.value, "outcome": outcome.value})


def weights_rolled(version: int) -> None:
    """Note the version that is served everywhere."""
    _weights_version.set(version)
