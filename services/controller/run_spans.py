"""The controller's own spans, kept in the folder of the run that they belong to.

The services of a run are told its telemetry folder when they start. The controller starts
before any run, so it adds and removes the folders of those that it plays.
"""

import contextlib
from collections.abc import Generator
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from services._server.telemetry import FileSpanExporter

FILE_NAME = "spans-controller.jsonl"
WRITE_EVERY_MS = 1_000


class RunSpans(SpanProcessor):
    """Hands every span to the folders of the runs that are played now."""

    def __init__(self) -> None:
        self._processors: list[BatchSpanProcessor] = []

    def install(self) -> None:
        """Take part in this process's tracing, if it has any."""
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.add_span_processor(self)

    @contextlib.contextmanager
    def into(self, folder: Path) -> Generator[None]:
        """Keep the spans that end inside the block in `folder`."""
        exporter = FileSpanExporter(folder / FILE_NAME)
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=WRITE_EVERY_MS)
        self._processors.append(processor)
        try:
            yield
        finally:
            self._processors.remove(processor)
            processor.shutdown()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See `SpanProcessor`."""

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor`."""
        for processor in self._processors:
            processor.on_end(span)

    def shutdown(self) -> None:
        """See `SpanProcessor`."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanProcessor`."""
        return all(processor.force_flush(timeout_millis) for processor in self._processors)
