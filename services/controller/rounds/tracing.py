"""One trace per round, whatever plays it and however often it is resumed."""

import contextlib
from collections.abc import Generator

from opentelemetry import trace
from opentelemetry.context import Context

from services._server import semconv, telemetry
from services.controller.rounds.game import Turn

tracer = trace.get_tracer(__name__, schema_url=semconv.SCHEMA_URL)


class RoundTrace:
    """The root span of the round that is played. Its context is stored with the round."""

    def __init__(self, run: str, run_traceparent: str = "") -> None:
        self._run = run
        created = trace.get_current_span(telemetry.context_from(run_traceparent))
        context = created.get_span_context()
        self._links = [trace.Link(context)] if context.is_valid else []
        self._round = -1
        self._span: trace.Span | None = None
        self._context = Context()

    def begin(self, turn: Turn, traceparent: str = "") -> str:
        """Begin the round, unless it has begun; return its W3C trace context.

        Args:
            turn: The round.
            traceparent: Context of an earlier attempt to play it, whose trace goes on.
        """
        if turn.round != self._round:
            self.end()
            parent = telemetry.context_from(traceparent)
            attributes = self._attributes(turn)
            self._span = tracer.start_span(
                semconv.SPAN_ROUND, parent, attributes=attributes, links=self._links
            )
            self._context = trace.set_span_in_context(self._span)
            self._round = turn.round
        with _current(self._span):
            return telemetry.traceparent()

    def join(self, turn: Turn, traceparent: str) -> None:
        """Add to the trace of a round that is over."""
        if turn.round != self._round:
            self.end()
            self._context = telemetry.context_from(traceparent)
            self._round = turn.round

    def end(self) -> None:
        """The round is over, or is left."""
        if self._span is not None:
            self._span.end()
        self._span = None
        self._round = -1
        self._context = Context()

    @contextlib.contextmanager
    def part(self, name: str, turn: Turn) -> Generator[trace.Span]:
        """A span below the round's own."""
        attributes = self._attributes(turn)
        with tracer.start_as_current_span(name, self._context, attributes=attributes) as span:
            yield span

    def _attributes(self, turn: Turn) -> dict[str, str | int]:
        return {
            semconv.RUN_NAME: self._run,
            semconv.ROUND_INDEX: turn.round,
            semconv.WEIGHTS_VERSION: turn.weights_version,
        }


@contextlib.contextmanager
def _current(span: trace.Span | None) -> Generator[None]:
    with trace.use_span(span) if span is not None else contextlib.nullcontext():
        yield
