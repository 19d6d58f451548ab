"""Tasks joining the buffers, as steps of a larger transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import codec, schema
from services.buffer.limits import require_range
from zeroloop.core.stored_tasks import NewTask, Observation
from zeroloop.errors import NotFoundError, invalid


def task_id(run: str, sequence: int) -> str:
    """Name a task: a function of its place, so that two equal runs name theirs alike."""
    return f"{run}-{sequence}"


def task_ids(run: str, first_sequence: int, num_tasks: int) -> tuple[str, ...]:
    """The names of tasks that were admitted together."""
    return tuple(task_id(run, first_sequence + offset) for offset in range(num_tasks))


def require_task(field: str, new: NewTask) -> None:
    """Raise unless `new` can be admitted.

    Raises:
        InvalidRequestError: Names the field below `field`.
    """
    if not new.task.program or "\0" in new.task.program:
        raise invalid(f"{field}.task.program", "must be source text without NUL, not empty")
    if not new.task.cases:
        raise invalid(f"{field}.task.cases", "must be at least one, got none")
    require_range(f"{field}.lineage.round", new.lineage.round, 0)
    if new.observation is not None:
        require_observation(f"{field}.observation", new.observation)


def require_observation(field: str, observation: Observation) -> None:
    """Raise unless `observation` is one."""
    require_range(f"{field}.success_rate", observation.success_rate, 0, 1)
    require_range(f"{field}.attempts", observation.attempts, 1)


async def admit(
    connection: AsyncConnection, run: Row[Any], tasks: Sequence[NewTask], admitted_at_s: float
) -> int:
    """Append tasks to the locked run; return the position of the first."""
    first = int(run.next_sequence)
    rows = [
        _task_row(run.name, first + offset, new, admitted_at_s) for offset, new in enumerate(tasks)
    ]
    if not rows:
        return first
    await connection.execute(insert(schema.tasks), rows)
    await connection.execute(
        update(schema.runs)
        .where(schema.runs.c.name == run.name)
        .values(next_sequence=first + len(rows))
    )
    seen = {
        task_id(run.name, first + offset): new.observation
        for offset, new in enumerate(tasks)
        if new.observation is not None
    }
    await _append_observations(connection, seen)
    return first


async def observe(
    connection: AsyncConnection, run: str, observations: Mapping[str, Observation]
) -> None:
    """Append observations of tasks that the run has.

    Raises:
        NotFoundError: The run has no task of that name.
    """
    if not observations:
        return
    table = schema.tasks.c
    query = select(table.task_id).where(table.run == run, table.task_id.in_(list(observations)))
    known = set((await connection.execute(query)).scalars())
    if unknown := sorted(set(observations) - known):
        raise NotFoundError(f"run {run!r} has no task {unknown[0]!r} to observe")
    await _append_observations(connection, observations)
    for name, observation in observations.items():
        await connection.execute(
            update(schema.tasks)
            .where(table.task_id == name)
            .values(success_rate=observation.success_rate)
        )


async def _append_observations(
    connection: AsyncConnection, observations: Mapping[str, Observation]
) -> None:
    rows = [
        {
            "task_id": name,
            "round": observation.round,
            "weights_version": observation.weights_version,
            "attempts": observation.attempts,
            "success_rate": observation.success_rate,
        }
        for name, observation in observations.items()
    ]
    if rows:
        await connection.execute(insert(schema.observations), rows)


def _task_row(run: str, sequence: int, new: NewTask, admitted_at_s: float) -> codec.Row:
    lineage = new.lineage
    return {
        **codec.task_columns(new.task),
        "thought": codec.pack_text(new.task.thought),
        "task_id": task_id(run, sequence),
        "run": run,
        "sequence": sequence,
        "round": lineage.round,
        "proposed_by_weights": lineage.proposed_by_weights,
        "reference_task_ids": lineage.reference_task_ids,
        "composite_task_ids": lineage.composite_task_ids,
        "validator": lineage.validator,
        "image_digest": lineage.image_digest,
        "origin": lineage.origin,
        "admitted_at_s": admitted_at_s,
        "success_rate": None if new.observation is None else new.observation.success_rate,
    }
