"""Spans and metrics around the stores; names are those of `services._server.semconv`."""

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress

from opentelemetry import metrics, trace
from sqlalchemy import func, select

from services._server import semconv
from services.buffer import schema
from services.buffer.batches import Batches
from services.buffer.database import Database
from services.buffer.rounds import CommitQuery, Rounds
from services.buffer.stages import Stages
from services.buffer.tasks import SampleQuery, Tasks
from zeroloop.core.batches import LeasedBatch
from zeroloop.core.rounds import Commit, Record, StageSummary
from zeroloop.core.stored_tasks import NewTask, TaskSample
from zeroloop.errors import UnavailableError

tracer = trace.get_tracer("zeroloop.buffer", schema_url=semconv.SCHEMA_URL)
meter = metrics.get_meter("zeroloop.buffer", schema_url=semconv.SCHEMA_URL)

items = meter.create_gauge(
    semconv.METRIC_BUFFER_ITEMS, description="Tasks in the buffers of all runs, by kind."
)
leases_expired = meter.create_counter(
    semconv.METRIC_BUFFER_LEASE_EXPIRED, description="Leases that passed to another trainer."
)


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

    async def lease(
        self, run: str, owner: str, *, lease_s: float, wait_s: float
    ) -> LeasedBatch | None:
        """Lease like the measured one."""
        leased = await super().lease(run, owner, lease_s=lease_s, wait_s=wait_s)
        if leased is not None and leased.batch.attempt > 1:
            leases_expired.add(1)
        return leased


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
