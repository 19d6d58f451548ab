"""Spans and metrics of the trainer, in one place."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind

from services._server import instruments, semconv
from services._server.telemetry import context_from
from trainer.reports import StepReport
from zeroloop.core.batches import Batch

_tracer = trace.get_tracer("zeroloop.trainer")
_meter = metrics.get_meter("zeroloop.trainer")

_step_duration = instruments.histogram(_meter, semconv.METRIC_TRAIN_STEP_DURATION)
_tokens = instruments.counter(_meter, semconv.METRIC_TRAIN_TOKENS)

REPLAY = "zeroloop.train.replay"
"""Whether the batch had been trained before and is only caught up with after a crash."""


@contextmanager
def training(batch: Batch, *, ranks: int, replay: bool) -> Generator[Span]:
    """A span of the round's trace around everything that is done with one batch."""
    with _tracer.start_as_current_span(
        semconv.SPAN_TRAIN,
        context=context_from(batch.traceparent),
        kind=SpanKind.CONSUMER,
        attributes={
            semconv.RUN_NAME: batch.run,
            semconv.ROUND_INDEX: batch.round,
            semconv.TRAIN_STEP: batch.round,
            semconv.TRAIN_WORLD_SIZE: ranks,
            semconv.BATCH_SIZE: batch.sequences,
            REPLAY: replay,
        },
    ) as span:
        yield span


@contextmanager
def publishing(version: int) -> Generator[Span]:
    """A span around the publication of a version."""
    with _tracer.start_as_current_span(
        semconv.SPAN_WEIGHTS_PUBLISH, attributes={semconv.WEIGHTS_VERSION: version}
    ) as span:
        yield span


def published(span: Span, size_bytes: int) -> None:
    """Add what is known once a version is written."""
    span.set_attribute(semconv.WEIGHTS_BYTES, size_bytes)


def stepped(report: StepReport) -> None:
    """Count a step that moves the run forward; replays are not counted."""
    _step_duration.record(report.duration_s)
    _tokens.add(int(report.sums.tokens))
