"""Spans and metrics around running programs; neither side knows the other."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from opentelemetry import metrics, trace
from opentelemetry.metrics import Observation

from services._server import instruments, semconv
from services.execution.cache import ResultCache
from services.execution.servicer import Runner
from zeroloop.core.execution import Capabilities, Isolation, Limits, Program, Result

tracer = trace.get_tracer("zeroloop.execution", schema_url=semconv.SCHEMA_URL)
meter = metrics.get_meter("zeroloop.execution", schema_url=semconv.SCHEMA_URL)

duration = instruments.histogram(meter, semconv.METRIC_EXEC_DURATION)
runs = instruments.counter(meter, semconv.METRIC_EXEC_RUNS)

TOLD_RUNS = 64
OPERATION = "execute_tool"
TOOL = "code_executor"
_RUNTIMES = {Isolation.GVISOR: "runsc", Isolation.UNSAFE: "unsafe"}


def tell_of(capabilities: Capabilities, cache: ResultCache) -> None:
    """Say from now on what isolates programs here, and how often their results were known."""
    labels = {
        semconv.ISOLATION: capabilities.isolation.value,
        semconv.PLATFORM: capabilities.platform,
        semconv.RUNTIME_VERSION: capabilities.runtime_version,
        semconv.PYTHON_VERSION: capabilities.python_version,
        semconv.MODES: " ".join(capabilities.modes),
    }
    instruments.observed(meter, semconv.METRIC_EXEC_INFO, lambda: [Observation(1, labels)])

    def looks() -> list[Observation]:
        return [
            Observation(cache.hits, {semconv.OUTCOME: "hit"}),
            Observation(cache.misses, {semconv.OUTCOME: "miss"}),
        ]

    instruments.observed(meter, semconv.METRIC_EXEC_CACHE, looks)


class MeteredRunner:
    """A `Runner` that measures another one: a span per call, a data point per run."""

    def __init__(self, runner: Runner, isolation: Isolation) -> None:
        self._runner = runner
        self._isolation = isolation

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str = "", tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """Yield what the measured one yields."""
        attributes = {semconv.EXEC_PROGRAMS: len(programs)}
        running = self._runner.execute(programs, limits, mode, tenant)
        async with aclosing(self._measured(running, attributes)) as results:
            async for ready in results:
                yield ready

    async def stream(
        self, programs: AsyncIterator[tuple[Program, Limits, str]], tenant: str = ""
    ) -> AsyncGenerator[list[Result]]:
        """Yield what the measured one yields."""
        running = self._runner.stream(programs, tenant)
        async with aclosing(self._measured(running, {})) as results:
            async for ready in results:
                yield ready

    async def _measured(
        self, results: AsyncGenerator[list[Result]], attributes: dict[str, int]
    ) -> AsyncGenerator[list[Result]]:
        tally = _Tally(self._isolation)
        # Not made current: between two yields a generator runs in its consumer's context.
        with tracer.start_span(semconv.SPAN_EXECUTE, attributes=attributes) as span:
            span.set_attribute(semconv.GEN_AI_OPERATION_NAME, OPERATION)
            span.set_attribute(semconv.GEN_AI_TOOL_NAME, TOOL)
            span.set_attribute(semconv.EXEC_RUNTIME, _RUNTIMES[self._isolation])
            try:
                async with aclosing(results):
                    async for ready in results:
                        for result in ready:
                            tally.add(result)
                        yield ready
            finally:
                tally.tell()
                span.set_attribute(semconv.EXEC_STATUS, tally.statuses)


class _Tally:
    """Counts the results of a call, and tells so many at a time: to tell takes 10 us."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._seen: set[str] = set()
        self._untold: Counter[tuple[str, str]] = Counter()

    @property
    def statuses(self) -> list[str]:
        """Of all results."""
        return sorted(self._seen)

    def add(self, result: Result) -> None:
        kind = result.status.value, str(result.mode)
        self._seen.add(result.status.value)
        self._untold[kind] += 1
        duration.record(result.wall_time_s, self._labels(*kind))
        if self._untold.total() >= TOLD_RUNS:
            self.tell()

    def tell(self) -> None:
        for kind, count in self._untold.items():
            runs.add(count, self._labels(*kind))
        self._untold.clear()

    def _labels(self, status: str, mode: str) -> dict[str, str]:
        return {
            semconv.STATUS: status,
            semconv.ISOLATION: self._isolation.value,
            semconv.MODE: mode,
        }
