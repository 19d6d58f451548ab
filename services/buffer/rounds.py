"""The records of rounds: open, commit, list, watch, prune."""

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import admission, limits, retiring, schema
from services.buffer.changes import Changes
from services.buffer.database import Database
from services.buffer.queueing import queue_batch
from services.buffer.runs import lock_run, next_revision, require_known
from zeroloop.core.rounds import Commit, Round, RoundPage, RoundState, Stage, StageSummary
from zeroloop.core.stored_tasks import BufferFull, NewTask, Observation
from zeroloop.errors import FailedPreconditionError, NotFoundError, UnavailableError, invalid

_STAGE_ORDER = {stage: position for position, stage in enumerate(Stage)}


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitQuery:
    """What to commit; see CommitRoundRequest."""

    run: str
    round: int
    tasks: Sequence[NewTask] = ()
    observations: Mapping[str, Observation] = field(default_factory=dict[str, Observation])
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    queue_batch: bool = True
    tasks_max: int = 0
    buffer_full: BufferFull = BufferFull.KEEP_NEWEST
    reservoir_seed: int = 0

    def require_valid(self) -> None:
        """Raise unless each field is in range."""
        limits.require_run(self.run)
        limits.require_range("tasks_max", self.tasks_max, 0)
        for index, new in enumerate(self.tasks):
            admission.require_task(f"tasks[{index}]", new)
            if new.lineage.round != self.round:
                raise invalid(
                    f"tasks[{index}].lineage.round",
                    f"must be the round that admits it, {self.round}, got {new.lineage.round}",
                )
        for name, observation in self.observations.items():
            admission.require_observation(f"observations[{name!r}]", observation)


class Rounds:
    """Rounds of every run."""

    def __init__(self, database: Database, changes: Changes, now_s: Callable[[], float]) -> None:
        self.database = database
        self._changes = changes
        self._now_s = now_s

    async def open(
        self, run: str, round_index: int, weights_version: int, traceparent: str
    ) -> Round:
        """Open a round, or return it as it is.

        Raises:
            FailedPreconditionError: The round before it is not committed.
        """
        limits.require_run(run)
        limits.require_range("round", round_index, 0)
        limits.require_range("weights_version", weights_version, 0)
        async with self.database.writing() as connection:
            now_s = self._now_s()
            await lock_run(connection, self.database, run, now_s)
            if await _row(connection, run, round_index) is None:
                await _require_committed(connection, run, round_index - 1)
                await connection.execute(
                    schema.rounds.insert().values(
                        run=run,
                        round=round_index,
                        state=RoundState.OPEN.value,
                        weights_version=weights_version,
                        traceparent=traceparent,
                        metrics={},
                        opened_at_s=now_s,
                        revision=await next_revision(connection, run),
                        pruned=False,
                    )
                )
            opened = await _load(connection, run, round_index)
        self._changes.announce()
        return opened

    async def get(self, run: str, round_index: int) -> Round:
        """Return one round.

        Raises:
            NotFoundError: No such round.
        """
        limits.require_run(run)
        async with self.database.reading() as connection:
            return await _load(connection, run, round_index)

    async def commit(self, query: CommitQuery) -> Commit:
        """Admit tasks, append observations and queue the batch in one transaction.

        Raises:
            NotFoundError: No such round, or no such task to observe.
            FailedPreconditionError: A batch is to be queued and cannot be.
        """
        query.require_valid()
        run, round_index = query.run, query.round
        async with self.database.writing() as connection:
            now_s = self._now_s()
            locked = await lock_run(connection, self.database, run, now_s)
            row = await _row(connection, run, round_index, lock=True)
            if row is None:
                raise NotFoundError(f"run {run!r} has no round {round_index}; open it first")
            if already := row.state != RoundState.OPEN:
                ids = admission.task_ids(run, row.first_sequence, row.num_tasks)
            else:
                ids = await _apply(connection, locked, row, query, now_s)
            committed = await _load(connection, run, round_index)
        self._changes.announce()
        return Commit(committed, ids, already)

    async def list(self, run: str, page_size: int, page_token: str) -> RoundPage:
        """Return one page of rounds, oldest first.

        Raises:
            NotFoundError: No such run.
        """
        limits.require_run(run)
        size, start = limits.page_size(page_size), limits.page_start(page_token)
        table = schema.rounds.c
        query = select(schema.rounds).where(table.run == run)
        if start is not None:
            query = query.where(table.round > start)
        async with self.database.reading() as connection:
            await require_known(connection, run)
            result = await connection.execute(query.order_by(table.round).limit(size + 1))
            rows = result.all()
            found = await _with_stages(connection, rows[:size])
        return RoundPage(tuple(found), str(found[-1].round) if len(rows) > size else "")

    async def watch(self, run: str, after_round: int) -> AsyncGenerator[Round]:
        """Yield each round above `after_round`, and again when its state changes.

        Raises:
            UnavailableError: The service drains; another replica may go on.
        """
        limits.require_run(run)
        table = schema.rounds.c
        revision = 0
        while not self._changes.closed:
            mark = self._changes.mark()
            query = (
                select(schema.rounds)
                .where(table.run == run, table.round > after_round, table.revision > revision)
                .order_by(table.revision)
                .limit(limits.PAGE_SIZE_DEFAULT)
            )
            async with self.database.reading() as connection:
                rows = (await connection.execute(query)).all()
                found = await _with_stages(connection, rows)
            for current in found:
                yield current
            if rows:
                revision = rows[-1].revision
            else:
                await self._changes.wait(mark, math.inf)
        raise UnavailableError("the buffer is shutting down; watch again")


async def _apply(
    connection: AsyncConnection, run: Any, row: Any, query: CommitQuery, now_s: float
) -> tuple[str, ...]:
    """Commit an open round, whose row and whose run's row are locked."""
    if query.queue_batch:
        await queue_batch(connection, query.run, query.round)
    first = await admission.admit(connection, run, query.tasks, now_s)
    await admission.observe(connection, query.run, query.observations)
    if query.tasks_max:
        await retiring.retire(
            connection,
            query.run,
            query.round,
            tasks_max=query.tasks_max,
            policy=query.buffer_full,
            seed=query.reservoir_seed,
        )
    await connection.execute(
        update(schema.rounds)
        .where(schema.rounds.c.run == query.run, schema.rounds.c.round == query.round)
        .values(
            state=RoundState.COMMITTED.value,
            committed_at_s=now_s,
            first_sequence=first,
            num_tasks=len(query.tasks),
            metrics={**row.metrics, **query.metrics},
            revision=await next_revision(connection, query.run),
        )
    )
    return admission.task_ids(query.run, first, len(query.tasks))


async def mark_trained(
    connection: AsyncConnection, run: str, round_index: int, metrics: Mapping[str, float]
) -> None:
    """Mark a committed round as trained and merge figures into it."""
    row = await _row(connection, run, round_index, lock=True)
    assert row is not None
    await connection.execute(
        update(schema.rounds)
        .where(schema.rounds.c.run == run, schema.rounds.c.round == round_index)
        .values(
            state=RoundState.TRAINED.value,
            metrics={**row.metrics, **metrics},
            revision=await next_revision(connection, run),
        )
    )


async def _row(
    connection: AsyncConnection, run: str, round_index: int, *, lock: bool = False
) -> Any | None:
    query = select(schema.rounds).where(
        schema.rounds.c.run == run, schema.rounds.c.round == round_index
    )
    if lock:
        query = query.with_for_update()
    return (await connection.execute(query)).one_or_none()


async def _require_committed(connection: AsyncConnection, run: str, round_index: int) -> None:
    """Raise unless the round before a new one, if there is one, is committed."""
    if round_index < 0:
        return
    row = await _row(connection, run, round_index)
    state = "missing" if row is None else row.state
    if state in ("missing", RoundState.OPEN):
        raise FailedPreconditionError(
            f"run {run!r}: cannot open round {round_index + 1} while round {round_index} is "
            f"{state}; commit that one first"
        )


async def _load(connection: AsyncConnection, run: str, round_index: int) -> Round:
    row = await _row(connection, run, round_index)
    if row is None:
        raise NotFoundError(f"run {run!r} has no round {round_index}")
    return (await _with_stages(connection, [row]))[0]


async def _with_stages(connection: AsyncConnection, rows: Sequence[Any]) -> list[Round]:
    """Turn rows of one run into rounds."""
    if not rows:
        return []
    table = schema.stages.c
    summaries: dict[int, list[StageSummary]] = {}
    for stage in await connection.execute(
        select(schema.stages).where(
            table.run == rows[0].run, table.round.in_([row.round for row in rows])
        )
    ):
        summaries.setdefault(stage.round, []).append(
            StageSummary(
                stage=Stage(stage.stage),
                records=stage.records,
                duration_s=stage.duration_s,
                figures=stage.figures,
                stored_at=datetime.fromtimestamp(stage.stored_at_s, UTC),
            )
        )
    return [_round(row, summaries.get(row.round, [])) for row in rows]


def _round(row: Any, summaries: Sequence[StageSummary]) -> Round:
    return Round(
        run=row.run,
        round=row.round,
        state=RoundState(row.state),
        weights_version=row.weights_version,
        stages=tuple(sorted(summaries, key=lambda summary: _STAGE_ORDER[summary.stage])),
        metrics=row.metrics,
        opened_at=datetime.fromtimestamp(row.opened_at_s, UTC),
        committed_at=None
        if row.committed_at_s is None
        else datetime.fromtimestamp(row.committed_at_s, UTC),
        traceparent=row.traceparent,
    )
