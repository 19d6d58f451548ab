"""Tasks leaving full buffers, as a step of a larger transaction. They are marked and stay."""

import asyncio
import random

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import schema
from zeroloop.core.sampling import reservoir
from zeroloop.core.stored_tasks import BufferFull
from zeroloop.core.tasks import Kind

MARKED_AT_ONCE = 512
"""Tasks that one statement names; databases bound the parameters of a statement."""


async def retire(
    connection: AsyncConnection,
    run: str,
    round_index: int,
    *,
    tasks_max: int,
    policy: BufferFull,
    seed: int,
) -> None:
    """Mark the tasks of each kind that do not fit into `tasks_max` as gone from their buffer.

    Args:
        connection: With the run locked.
        run: Whose buffers.
        round_index: The round whose commit makes them leave.
        tasks_max: Most tasks that the buffer of one kind keeps.
        policy: Which stay.
        seed: Of the reservoir; the same in every commit of a run.
    """
    for kind in Kind:
        if policy is BufferFull.RESERVOIR:
            leaving = await _not_in_reservoir(connection, run, kind, tasks_max, seed)
        else:
            leaving = await _beyond(connection, run, kind, tasks_max, policy)
        for start in range(0, len(leaving), MARKED_AT_ONCE):
            part = leaving[start : start + MARKED_AT_ONCE]
            await connection.execute(
                update(schema.tasks)
                .where(schema.tasks.c.run == run, schema.tasks.c.sequence.in_(part))
                .values(left_round=round_index)
            )


async def _beyond(
    connection: AsyncConnection, run: str, kind: Kind, tasks_max: int, policy: BufferFull
) -> list[int]:
    """Positions of the present tasks after the first `tasks_max`, counted from the end to keep."""
    table = schema.tasks.c
    newest_first = policy is BufferFull.KEEP_NEWEST
    found = await connection.execute(
        select(table.sequence)
        .where(*_of_kind(run, kind), table.left_round.is_(None))
        .order_by(table.sequence.desc() if newest_first else table.sequence)
        .offset(tasks_max)
    )
    return [int(sequence) for sequence in found.scalars()]


async def _not_in_reservoir(
    connection: AsyncConnection, run: str, kind: Kind, tasks_max: int, seed: int
) -> list[int]:
    """Positions of the present tasks that the reservoir over all tasks ever does not hold."""
    table = schema.tasks.c
    found = await connection.execute(
        select(table.sequence, table.left_round)
        .where(*_of_kind(run, kind))
        .order_by(table.sequence)
    )
    ever = found.all()
    rng = random.Random(f"{seed}/{kind}")  # noqa: S311 -- reproducible, not secret
    held = await asyncio.to_thread(reservoir, len(ever), tasks_max, rng)
    return [
        int(row.sequence)
        for position, row in enumerate(ever)
        if row.left_round is None and position not in held
    ]


def _of_kind(run: str, kind: Kind) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return schema.tasks.c.run == run, schema.tasks.c.kind == kind.value
