"""Spans and metrics around the stores; names are those of `services._server.semconv`."""

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from typing import Any

from opentelemetry import metrics, trace
from sqlalchemy import func, select

from services._server import instruments, semconv
from services.buffer import schema
from services.buffer.batches import Batches
from services.buffer.database import Database
from services.buffer.rounds import CommitQuery, Rounds
from services.buffer.stages import Stages
from services.buffer.tasks import SampleQuery, Tasks
from zeroloop.core.rounds import Commit, Record, StageSummary
from zeroloop.core.stored_tasks import NewTask, TaskSample
from zeroloop.errors import UnavailableError

tracer = trace.get_tracer("zeroloop.buffer", schema_url=semconv.SCHEMA_URL)
meter = metrics.get_meter("zeroloop.buffer", schema_url=semconv.SCHEMA_URL)

items = instruments.gauge(meter, semconv.METRIC_BUFFER_ITEMS)
leases_expired = instruments.counter(meter, semconv.METRIC_BUFFER_LEASE_EXPIRED)


class MeteredTasks(Tasks):
    """`Tasks` with a span for each draw and admission."""

    async def sample(self, query: SampleQuery) -> TaskSample:
        """Draw like the measured one."""
        with tracer.start_as_current_span(semconv.SPAN_BUFFER_SAMPLE) as span:
            sample = await super().sample(query)
            span.set_attribute(semconv.BATCH_SIZE, len(sample.tasks))
            return sample

    async def admit(self, run: str, request_id: str, new: Sequence[NewTask]) -> tuple[str, ...]:
        """Admit like the measured one."""
        with tracer.start_as_current_span(semconv.SPAN_BUFFER_APPEND) as span:
            task_ids = await super().admit(run, request_id, new)
            span.set_attribute(semconv.BUFFER_SIZE, await _count_items(self.database))
            return task_ids


class MeteredRounds(Rounds):
    """`Rounds` with a span for each commit."""

    async def commit(self, query: CommitQuery) -> Commit:
        """Commit like the measured one."""
        with tracer.start_as_current_span(semconv.SPAN_BUFFER_APPEND) as span:
            commit = await super().commit(query)
            span.set_attribute(semconv.ROUND_INDEX, query.round)
            span.set_attribute(semconv.BUFFER_SIZE, await _count_items(self.database))
            return commit


class MeteredStages(Stages):
    """`Stages` with a span for each one that is written."""

    async def put(
        self, run: str, round_index: int, summary: StageSummary, records: AsyncIterable[Record]
    ) -> bool:
        """Store like the measured one."""
        with tracer.start_as_current_span(semconv.SPAN_BUFFER_APPEND) as span:
            span.set_attribute(semconv.ROUND_INDEX, round_index)
            return await super().put(run, round_index, summary, records)


class MeteredBatches(Batches):
    """`Batches` that counts leases that were lost."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Else the first one is no increase of anything.
        leases_expired.add(0)

    def note_expired(self, run: str, round_index: int, owner: str) -> None:
        """Note like the measured one."""
        super().note_expired(run, round_index, owner)
        leases_expired.add(1)


async def _count_items(database: Database) -> int:
    """Count the tasks of all buffers; 0 if the database does not answer any more."""
    table = schema.tasks.c
    query = select(table.kind, func.count()).where(table.left_round.is_(None)).group_by(table.kind)
    total = 0
    # What was to be stored is stored; failing now would say that it is not.
    with suppress(UnavailableError):
        async with database.reading() as connection:
            for kind, count in (await connection.execute(query)).tuples():
                items.set(count, {semconv.TASK_TYPE: kind})
                total += count
    return total
