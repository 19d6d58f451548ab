"""Reading tasks: one, a page, a sample; and admitting them outside a round."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import codec, limits, sampling, schema
from services.buffer.admission import admit, require_task, task_ids
from services.buffer.database import Database
from services.buffer.runs import lock_run, require_known
from zeroloop.core.stored_tasks import (
    Lineage,
    NewTask,
    Observation,
    StoredTask,
    Strategy,
    TaskPage,
    TaskSample,
)
from zeroloop.core.tasks import Kind
from zeroloop.errors import InvalidRequestError, NotFoundError, invalid

ROWS_AT_ONCE = 256
"""Tasks that one statement reads by their position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleQuery:
    """What to draw; see SampleTasksRequest."""

    run: str
    kinds: tuple[Kind, ...]
    strategy: Strategy
    count: int
    draws: int
    seed: int
    before_round: int
    window_rounds: int
    without_composites: bool = False

    def require_valid(self) -> None:
        """Raise unless each field is in range."""
        limits.require_run(self.run)
        limits.require_range("count", self.count, 1, limits.SAMPLE_COUNT_MAX)
        limits.require_range("draws", self.draws, 1, limits.SAMPLE_DRAWS_MAX)
        limits.require_range("count * draws", self.count * self.draws, 1, limits.SAMPLE_INDEXES_MAX)
        limits.require_range("before_round", self.before_round, 0)
        limits.require_range("window_rounds", self.window_rounds, 1)
        if not self.kinds:
            raise invalid("kinds", "must name at least one kind, got none")
        if len(self.kinds) > 1 and self.strategy in (Strategy.MAX_NEW, Strategy.HALF_NEW):
            raise invalid(
                "kinds",
                f"must be one kind for {self.strategy}, got {len(self.kinds)}: several "
                "buffers laid end to end have no newest rounds",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFilter:
    """Which tasks to list; None: any."""

    run: str
    kind: Kind | None = None
    success_rate_min: float | None = None
    success_rate_max: float | None = None
    round_min: int | None = None
    round_max: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        table = schema.tasks.c
        chosen = [table.run == self.run]
        if self.kind is not None:
            chosen.append(table.kind == self.kind.value)
        if self.success_rate_min is not None:
            chosen.append(table.success_rate >= self.success_rate_min)
        if self.success_rate_max is not None:
            chosen.append(table.success_rate <= self.success_rate_max)
        if self.round_min is not None:
            chosen.append(table.round >= self.round_min)
        if self.round_max is not None:
            chosen.append(table.round <= self.round_max)
        return chosen


class Tasks:
    """Verified tasks of every run."""

    def __init__(self, database: Database, now_s: Callable[[], float]) -> None:
        self.database = database
        self._now_s = now_s

    async def sample(self, query: SampleQuery) -> TaskSample:
        """Draw tasks from the buffers as they were before `before_round`.

        Raises:
            NotFoundError: No such run.
            InvalidRequestError: A field is out of range, or the answer would be too large.
        """
        query.require_valid()
        async with self.database.reading() as connection:
            await require_known(connection, query.run)
            buffer = await _buffer(connection, query)
            drawn = await asyncio.to_thread(
                sampling.draw,
                query.strategy,
                [round_index for _, round_index in buffer],
                count=query.count,
                draws=query.draws,
                seed=query.seed,
                before_round=query.before_round,
                window_rounds=query.window_rounds,
            )
            named = [[buffer[position][0] for position in draw] for draw in drawn]
            ids = list(dict.fromkeys(name for draw in named for name in draw))
            by_id = {task.task.task_id: task async for task in _load_bounded(connection, ids)}
        index_of = {name: index for index, name in enumerate(ids)}
        return TaskSample(
            tuple(by_id[name] for name in ids),
            tuple(tuple(index_of[name] for name in draw) for draw in named),
        )

    async def get(self, task_id: str) -> StoredTask:
        """Return one task.

        Raises:
            NotFoundError: No such task.
        """
        async with self.database.reading() as connection:
            found = await _load(connection, [task_id])
        if not found:
            raise NotFoundError(f"no task {task_id!r}")
        return found[0]

    async def list(self, chosen: TaskFilter, page_size: int, page_token: str) -> TaskPage:
        """Return one page of tasks, newest first. A page of long tasks ends early.

        Raises:
            NotFoundError: No such run.
        """
        limits.require_run(chosen.run)
        size, start = limits.page_size(page_size), limits.page_start(page_token)
        table, where = schema.tasks.c, chosen.conditions()
        async with self.database.reading() as connection:
            await require_known(connection, chosen.run)
            total = await connection.scalar(select(func.count()).where(*where)) or 0
            query = select(table.task_id, table.sequence).where(*where)
            if start is not None:
                query = query.where(table.sequence < start)
            result = await connection.execute(query.order_by(table.sequence.desc()).limit(size + 1))
            rows = result.all()
            found = await _load_page(connection, [row.task_id for row in rows[:size]])
        more = len(found) < len(rows)
        return TaskPage(tuple(found), str(found[-1].sequence) if more else "", total)

    async def admit(self, run: str, request_id: str, new: Sequence[NewTask]) -> tuple[str, ...]:
        """Admit tasks once per request id; return their ids, aligned.

        Raises:
            InvalidRequestError: A field is out of range.
        """
        limits.require_run(run)
        if not request_id:
            raise invalid("request_id", "must be chosen by the caller, got an empty one")
        for index, task in enumerate(new):
            require_task(f"tasks[{index}]", task)
        async with self.database.writing() as connection:
            now_s = self._now_s()
            locked = await lock_run(connection, self.database, run, now_s)
            table = schema.admissions.c
            known = await connection.execute(
                select(schema.admissions).where(table.run == run, table.request_id == request_id)
            )
            if earlier := known.one_or_none():
                return task_ids(run, earlier.first_sequence, earlier.num_tasks)
            first = await admit(connection, locked, new, now_s)
            await connection.execute(
                schema.admissions.insert().values(
                    run=run,
                    request_id=request_id,
                    first_sequence=first,
                    num_tasks=len(new),
                    admitted_at_s=now_s,
                )
            )
        return task_ids(run, first, len(new))


async def _buffer(connection: AsyncConnection, query: SampleQuery) -> list[tuple[str, int]]:
    """Ids and rounds of the tasks to draw from, one kind after the other."""
    table = schema.tasks.c
    present = table.left_round.is_(None)
    if query.before_round:
        # What later commits added or removed must not change the draw.
        present = or_(present, table.left_round >= query.before_round)
        present &= table.round < query.before_round
    if query.without_composites:
        present &= table.composites == ()
    found: list[tuple[str, int]] = []
    for kind in query.kinds:
        rows = await connection.execute(
            select(table.task_id, table.round)
            .where(table.run == query.run, table.kind == kind.value, present)
            .order_by(table.sequence)
        )
        found += [(row.task_id, row.round) for row in rows]
    return found


async def _load_bounded(
    connection: AsyncConnection, ids: Sequence[str]
) -> AsyncGenerator[StoredTask]:
    size_bytes = 0
    for start in range(0, len(ids), ROWS_AT_ONCE):
        for task in await _load(connection, ids[start : start + ROWS_AT_ONCE]):
            size_bytes += _size_bytes(task)
            if size_bytes > limits.SAMPLE_BYTES_MAX:
                raise InvalidRequestError(
                    f"the drawn tasks have more than {limits.SAMPLE_BYTES_MAX} bytes together; "
                    "ask for fewer draws in one call"
                )
            yield task


async def _load_page(connection: AsyncConnection, ids: Sequence[str]) -> list[StoredTask]:
    """Load tasks until the page is full by bytes, at least one."""
    page: list[StoredTask] = []
    size_bytes = 0
    for start in range(0, len(ids), ROWS_AT_ONCE):
        by_id = {
            task.task.task_id: task
            for task in await _load(connection, ids[start : start + ROWS_AT_ONCE])
        }
        for name in ids[start : start + ROWS_AT_ONCE]:
            size_bytes += _size_bytes(by_id[name])
            if page and size_bytes > limits.PAGE_BYTES_MAX:
                return page
            page.append(by_id[name])
    return page


def _size_bytes(stored: StoredTask) -> int:
    """At most about this much on the wire."""
    task = stored.task
    texts = [task.program, task.message, task.thought, *task.imports, *task.composites]
    texts += [text for case in task.cases for text in (case.input, case.output)]
    return 4 * sum(map(len, texts)) + 40 * len(stored.observations) + 512


async def _load(connection: AsyncConnection, ids: Sequence[str]) -> list[StoredTask]:
    """Load tasks with their observations, in any order."""
    table = schema.observations.c
    observed: dict[str, list[Observation]] = {}
    for row in await connection.execute(
        select(schema.observations).where(table.task_id.in_(ids)).order_by(table.id)
    ):
        observed.setdefault(row.task_id, []).append(
            Observation(
                round=row.round,
                weights_version=row.weights_version,
                attempts=row.attempts,
                success_rate=row.success_rate,
            )
        )
    rows = await connection.execute(select(schema.tasks).where(schema.tasks.c.task_id.in_(ids)))
    return [_stored_task(row, observed.get(row.task_id, ())) for row in rows]


def _stored_task(row: Any, observations: Iterable[Observation]) -> StoredTask:
    columns = {**row._asdict(), "thought": codec.unpack_text(row.thought)}
    return StoredTask(
        task=codec.task_of(columns, row.task_id),
        run=row.run,
        lineage=Lineage(
            round=row.round,
            proposed_by_weights=row.proposed_by_weights,
            reference_task_ids=tuple(row.reference_task_ids),
            composite_task_ids=tuple(row.composite_task_ids),
            validator=row.validator,
            image_digest=row.image_digest,
            origin=row.origin,
        ),
        sequence=row.sequence,
        admitted_at=datetime.fromtimestamp(row.admitted_at_s, UTC),
        observations=tuple(observations),
    )
