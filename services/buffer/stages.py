"""The stored output of stages."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import codec, schema
from services.buffer.database import Database
from services.buffer.limits import require_run
from services.buffer.records import require_record
from zeroloop.core.rounds import (
    RECORD_TYPES,
    EpisodeReward,
    Record,
    RoundState,
    Stage,
    StageSummary,
)
from zeroloop.errors import FailedPreconditionError, NotFoundError, invalid

CHUNK_RECORDS = 32
"""Records that one statement writes or reads."""

CHUNK_BYTES = 4 * 1024 * 1024
"""About how many bytes of records one statement writes, if that are fewer."""


class Stages:
    """Stores the output of a stage whole, and gives it back in its order."""

    def __init__(self, database: Database, now_s: Callable[[], float]) -> None:
        self._database = database
        self._now_s = now_s

    async def is_stored(self, run: str, round_index: int, stage: Stage) -> bool:
        """Whether the stage is stored; raises like `put` if it may not be."""
        require_run(run)
        async with self._database.reading() as connection:
            if await _find(connection, run, round_index, stage) is not None:
                return True
            await _require_writable(connection, run, round_index, stage, lock=False)
            return False

    async def put(
        self, run: str, round_index: int, summary: StageSummary, records: AsyncIterable[Record]
    ) -> bool:
        """Store a stage in one transaction; False if it was stored before.

        Raises:
            NotFoundError: No such round.
            FailedPreconditionError: The round is committed.
            InvalidRequestError: A record is out of range or does not belong to the stage.
        """
        async with self._database.writing() as connection:
            # Locked, so that no commit overtakes the stage.
            await _require_writable(connection, run, round_index, summary.stage, lock=True)
            stage_id = await self._insert_header(connection, run, round_index, summary)
            if stage_id is None:
                return False
            count = await _insert_records(connection, stage_id, summary.stage, records)
            if summary.records not in (0, count):
                raise invalid(
                    "header.summary.records",
                    f"must be what follows, {count}, got {summary.records}",
                )
            await connection.execute(
                update(schema.stages).where(schema.stages.c.id == stage_id).values(records=count)
            )
        return True

    async def get(self, run: str, round_index: int, stage: Stage) -> AsyncGenerator[Record]:
        """Yield the records of a stage in their order.

        Each chunk is a transaction of its own, so that a slow reader holds nothing.

        Raises:
            NotFoundError: No such stage.
            FailedPreconditionError: Its records were pruned, perhaps meanwhile.
        """
        require_run(run)
        async with self._database.reading() as connection:
            found = await _find(connection, run, round_index, stage)
        if found is None:
            raise NotFoundError(f"run {run!r} round {round_index}: stage {stage} is not stored")
        for position in range(0, found.records, CHUNK_RECORDS):
            expected = min(CHUNK_RECORDS, found.records - position)
            async with self._database.reading() as connection:
                rows = await _read_rows(connection, found.id, stage, position)
            if len(rows) != expected:
                raise pruned(run, round_index)
            for record in await asyncio.to_thread(_decode, rows):
                yield record

    async def _insert_header(
        self, connection: AsyncConnection, run: str, round_index: int, summary: StageSummary
    ) -> int | None:
        """Insert what is known of the stage; None if another one was first."""
        statement = (
            self._database.insert_new(schema.stages)
            .values(
                run=run,
                round=round_index,
                stage=summary.stage.value,
                records=0,
                duration_s=summary.duration_s,
                figures=dict(summary.figures),
                stored_at_s=self._now_s(),
            )
            .returning(schema.stages.c.id)
        )
        return (await connection.execute(statement)).scalar_one_or_none()


def pruned(run: str, round_index: int) -> FailedPreconditionError:
    """The error for records that are gone."""
    return FailedPreconditionError(
        f"run {run!r} round {round_index}: its stages were pruned; raise the rounds to keep to "
        "have more of them"
    )


async def stored_stages(connection: AsyncConnection, run: str, round_index: int) -> set[Stage]:
    """The stages that a round has stored."""
    table = schema.stages.c
    query = select(table.stage).where(table.run == run, table.round == round_index)
    return {Stage(name) for name in (await connection.execute(query)).scalars()}


async def _find(
    connection: AsyncConnection, run: str, round_index: int, stage: Stage
) -> Any | None:
    table = schema.stages.c
    result = await connection.execute(
        select(table.id, table.records).where(
            table.run == run, table.round == round_index, table.stage == stage.value
        )
    )
    return result.one_or_none()


async def _require_writable(
    connection: AsyncConnection, run: str, round_index: int, stage: Stage, *, lock: bool
) -> None:
    table = schema.rounds.c
    query = select(table.state).where(table.run == run, table.round == round_index)
    if lock:
        query = query.with_for_update(read=True)
    state = (await connection.execute(query)).scalar_one_or_none()
    if state is None:
        raise NotFoundError(f"run {run!r} has no round {round_index}; open it first")
    if state != RoundState.OPEN and stage is not Stage.EVALUATE:
        raise FailedPreconditionError(
            f"run {run!r} round {round_index} is {state}: only {Stage.EVALUATE} can still be "
            f"stored, got {stage}"
        )


async def _insert_records(
    connection: AsyncConnection, stage_id: int, stage: Stage, records: AsyncIterable[Record]
) -> int:
    """Insert all records in chunks and return how many there were."""
    count = 0
    async for chunk in _chunks(stage, records):
        rows = await asyncio.to_thread(codec.rows_of, stage_id, count, chunk)
        for kind, kind_rows in rows.items():
            try:
                await connection.execute(insert(codec.TABLE_OF[kind]), kind_rows)
            except IntegrityError as error:
                field = "stage and index" if kind is EpisodeReward else "index"
                raise invalid(
                    f"records[{count}:{count + len(chunk)}].index",
                    f"each {field} may come once in stage {stage}, got one twice",
                ) from error
        count += len(chunk)
    return count


async def _chunks(stage: Stage, records: AsyncIterable[Record]) -> AsyncGenerator[list[Record]]:
    chunk: list[Record] = []
    chunk_bytes = position = 0
    async for record in records:
        require_record(stage, position, record)
        position += 1
        chunk.append(record)
        chunk_bytes += codec.size_bytes(record)
        if len(chunk) == CHUNK_RECORDS or chunk_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, chunk_bytes = [], 0
    if chunk:
        yield chunk


async def _read_rows(
    connection: AsyncConnection, stage_id: int, stage: Stage, position: int
) -> list[tuple[type[Record], Any]]:
    """The rows of one chunk with their types, in their order."""
    found: list[tuple[type[Record], Any]] = []
    for kind in RECORD_TYPES[stage]:
        table = codec.TABLE_OF[kind]
        result = await connection.execute(
            select(table).where(
                table.c.stage_id == stage_id,
                table.c.position >= position,
                table.c.position < position + CHUNK_RECORDS,
            )
        )
        found += [(kind, row) for row in result]
    return sorted(found, key=lambda item: item[1].position)


def _decode(rows: list[tuple[type[Record], Any]]) -> list[Record]:
    return [codec.record_of(kind, row) for kind, row in rows]
