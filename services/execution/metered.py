"""Spans and metrics around running programs; neither side knows the other."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from opentelemetry import metrics, trace

from services._server import instruments, semconv
from services.execution.servicer import Runner
from zeroloop.core.execution import Isolation, Limits, Program, Result

tracer = trace.get_tracer("zeroloop.execution", schema_url=semconv.SCHEMA_URL)
meter = metrics.get_meter("zeroloop.execution", schema_url=semconv.SCHEMA_URL)

duration = instruments.histogram(meter, semconv.METRIC_EXEC_DURATION)
looks = instruments.counter(meter, semconv.METRIC_EXEC_CACHE)
runs = instruments.counter(meter, semconv.METRIC_EXEC_RUNS)

OPERATION = "execute_tool"
TOOL = "code_executor"
_RUNTIMES = {Isolation.GVISOR: "runsc", Isolation.UNSAFE: "unsafe"}


def count_look(found: bool) -> None:  # noqa: FBT001 (a callback of one thing)
    """Count a look into the cache."""
    looks.add(1, {semconv.OUTCOME: "hit" if found else "miss"})


class MeteredRunner:
    """A `Runner` that measures another one: a span per call, a data point per run."""

    def __init__(self, runner: Runner, isolation: Isolation) -> None:
        self._runner = runner
        self._isolation = isolation

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = ""
    ) -> AsyncGenerator[Result]:
        """Yield what the measured one yields."""
        attributes = {semconv.EXEC_PROGRAMS: len(programs)}
        async with aclosing(
            self._measured(self._runner.execute(programs, limits, mode), attributes)
        ) as results:
            async for result in results:
                yield result

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]]
    ) -> AsyncGenerator[Result]:
        """Yield what the measured one yields."""
        async with aclosing(self._measured(self._runner.stream(programs), {})) as results:
            async for result in results:
                yield result

    async def _measured(
        self, results: AsyncGenerator[Result], attributes: dict[str, int]
    ) -> AsyncGenerator[Result]:
        seen: set[str] = set()
        # Not made current: between two yields a generator runs in its consumer's context.
        with tracer.start_span(semconv.SPAN_EXECUTE, attributes=attributes) as span:
            span.set_attribute(semconv.GEN_AI_OPERATION_NAME, OPERATION)
            span.set_attribute(semconv.GEN_AI_TOOL_NAME, TOOL)
            span.set_attribute(semconv.EXEC_RUNTIME, _RUNTIMES[self._isolation])
            try:
                async with aclosing(results):
                    async for result in results:
                        seen.add(result.status.value)
                        self._record(result)
                        yield result
            finally:
                span.set_attribute(semconv.EXEC_STATUS, sorted(seen))

    def _record(self, result: Result) -> None:
        labels = {
            semconv.STATUS: result.status.value,
            semconv.ISOLATION: self._isolation.value,
            semconv.MODE: str(result.mode),
        }
        duration.record(result.wall_time_s, labels)
        runs.add(1, labels)
