"""Runs, as far as the buffer knows them: a name, and counters that order what belongs to it."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import schema
from services.buffer.database import Database
from zeroloop.errors import NotFoundError


async def lock_run(
    connection: AsyncConnection, database: Database, run: str, created_at_s: float
) -> Any:
    """Return the row of a run, made if it is new, locked until the transaction ends."""
    await connection.execute(
        database.insert_new(schema.runs).values(
            name=run, next_sequence=0, next_revision=1, created_at_s=created_at_s
        )
    )
    query = select(schema.runs).where(schema.runs.c.name == run).with_for_update()
    return (await connection.execute(query)).one()


async def next_revision(connection: AsyncConnection, run: str) -> int:
    """Take the number of a change of one of the run's rounds; orders them for watchers."""
    table = schema.runs.c
    statement = (
        update(schema.runs)
        .where(table.name == run)
        .values(next_revision=table.next_revision + 1)
        .returning(table.next_revision)
    )
    return (await connection.execute(statement)).scalar_one() - 1


async def require_known(connection: AsyncConnection, run: str) -> None:
    """Raise unless something of the run is stored.

    Raises:
        NotFoundError: Nothing is.
    """
    query = select(schema.runs.c.name).where(schema.runs.c.name == run)
    if (await connection.execute(query)).one_or_none() is None:
        raise NotFoundError(f"no run {run!r}: nothing of it is stored here")
