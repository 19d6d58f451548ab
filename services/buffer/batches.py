"""Batches: leased to one trainer at a time, in the order of their rounds."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import codec, limits, queueing, schema
from services.buffer.changes import Changes
from services.buffer.database import Database
from services.buffer.rounds import mark_trained
from services.buffer.runs import lock_run
from services.buffer.stages import CHUNK_RECORDS, pruned
from zeroloop.core.batches import Batch, BatchSequence, LeasedBatch
from zeroloop.core.rounds import FLOAT32, INT32
from zeroloop.core.tasks import Kind, Role
from zeroloop.errors import FailedPreconditionError, NotFoundError, invalid

logger = logging.getLogger(__name__)


class Batches:
    """Training batches of every run."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        now_s: Callable[[], float],
        new_token: Callable[[], str],
    ) -> None:
        self._database = database
        self._changes = changes
        self._now_s = now_s
        self._new_token = new_token

    async def lease(
        self, run: str, owner: str, *, lease_s: float, wait_s: float
    ) -> LeasedBatch | None:
        """Lease the oldest batch that is not acknowledged; None if none is free in time.

        Later batches are not free while that one is leased: they train in their order.
        """
        limits.require_run(run)
        limits.require_range("lease", lease_s, limits.LEASE_S_MIN, limits.LEASE_S_MAX)
        limits.require_range("wait", wait_s, 0, limits.WAIT_S_MAX)
        clock_s = asyncio.get_running_loop().time
        until_s = clock_s() + wait_s
        while True:
            mark = self._changes.mark()
            if leased := await self._try_lease(run, owner, lease_s):
                return leased
            left_s = until_s - clock_s()
            if left_s <= 0 or self._changes.closed:
                return None
            await self._changes.wait(mark, left_s)

    def note_expired(self, run: str, round_index: int, owner: str) -> None:
        """Say that `owner` held a lease until it ran out."""
        fields = {"run": run, "round_index": round_index, "owner": owner}
        logger.warning("lease_expired", extra=fields)

    async def _try_lease(self, run: str, owner: str, lease_s: float) -> LeasedBatch | None:
        # Most looks find nothing, and reading disturbs nobody.
        async with self._database.reading() as connection:
            if await self._free(connection, run, lock=False) is None:
                return None
        async with self._database.writing() as connection:
            row = await self._free(connection, run, lock=True)
            if row is None:
                return None
            if row.lease_owner is not None:
                self.note_expired(run, row.round, row.lease_owner)
            token, expires_at_s = self._new_token(), self._now_s() + lease_s
            await connection.execute(
                update(schema.batches)
                .where(*_is(run, row.round))
                .values(
                    attempt=row.attempt + 1,
                    lease_token=token,
                    lease_owner=owner,
                    lease_expires_at_s=expires_at_s,
                )
            )
            batch = await _load(connection, run, row.round)
        return LeasedBatch(batch, token, datetime.fromtimestamp(expires_at_s, UTC))

    async def _free(self, connection: AsyncConnection, run: str, *, lock: bool) -> Any | None:
        """The oldest batch that is not acknowledged, if nobody holds it."""
        table = schema.batches.c
        oldest = (
            select(func.min(table.round))
            .where(table.run == run, table.acknowledged_at_s.is_(None))
            .scalar_subquery()
        )
        query = select(schema.batches).where(
            table.run == run,
            table.round == oldest,
            table.acknowledged_at_s.is_(None),
            or_(table.lease_expires_at_s.is_(None), table.lease_expires_at_s <= self._now_s()),
        )
        if lock:
            # Whoever is leasing or acknowledging it right now wins.
            query = query.with_for_update(skip_locked=True)
        return (await connection.execute(query)).one_or_none()

    async def renew(self, lease_token: str, lease_s: float) -> datetime:
        """Let a lease last `lease_s` from now.

        Raises:
            FailedPreconditionError: It has expired, or another one holds the batch.
        """
        limits.require_range("lease", lease_s, limits.LEASE_S_MIN, limits.LEASE_S_MAX)
        async with self._database.writing() as connection:
            row = await _leased(connection, lease_token, lock=True)
            now_s = self._now_s()
            if row.acknowledged_at_s is not None or row.lease_expires_at_s <= now_s:
                state = "expired" if row.acknowledged_at_s is None else "ended by AckBatch"
                raise FailedPreconditionError(
                    f"the lease of run {row.run!r} round {row.round} has {state}; lease the batch "
                    "again"
                )
            await connection.execute(
                update(schema.batches)
                .where(*_is(row.run, row.round))
                .values(lease_expires_at_s=now_s + lease_s)
            )
        return datetime.fromtimestamp(now_s + lease_s, UTC)

    async def acknowledge(self, lease_token: str, metrics: Mapping[str, float]) -> None:
        """Mark a batch as trained; a second time changes nothing.

        A lease that has expired still counts as long as nobody else has leased the batch.

        Raises:
            FailedPreconditionError: Somebody has, or the weights are not published.
        """
        async with self._database.writing() as connection:
            run = (await _leased(connection, lease_token, lock=False)).run
            # Everybody locks the run first, so that nobody waits in a circle.
            await lock_run(connection, self._database, run, self._now_s())
            row = await _leased(connection, lease_token, lock=True)
            if row.acknowledged_at_s is not None:
                return
            weights = schema.weights.c
            published = await connection.scalar(
                select(weights.version).where(weights.run == row.run, weights.version == row.round)
            )
            if published is None:
                raise FailedPreconditionError(
                    f"run {row.run!r}: weights {row.round} are not published; publish them, then "
                    "acknowledge the batch"
                )
            await connection.execute(
                update(schema.batches)
                .where(*_is(row.run, row.round))
                .values(acknowledged_at_s=self._now_s())
            )
            await mark_trained(connection, row.run, row.round, metrics)
        self._changes.announce()

    async def get(self, run: str, round_index: int) -> Batch:
        """Return a batch without its sequences.

        Raises:
            NotFoundError: The round has none.
        """
        limits.require_run(run)
        async with self._database.reading() as connection:
            return await _load(connection, run, round_index)

    async def sequences(self, batch: Batch) -> AsyncGenerator[BatchSequence]:
        """Yield the sequences of a batch in their order.

        Each chunk is a transaction of its own, so that a slow reader holds nothing.

        Raises:
            FailedPreconditionError: They were pruned, perhaps meanwhile.
        """
        for position in range(0, batch.sequences, CHUNK_RECORDS):
            expected = min(CHUNK_RECORDS, batch.sequences - position)
            async with self._database.reading() as connection:
                rows = await _read_rows(connection, batch, position)
            if len(rows) != expected:
                raise pruned(batch.run, batch.round)
            for sequence in await asyncio.to_thread(_decode, rows):
                yield sequence


def _is(run: str, round_index: int) -> tuple[Any, ...]:
    table = schema.batches.c
    return table.run == run, table.round == round_index


async def _leased(connection: AsyncConnection, lease_token: str, *, lock: bool) -> Any:
    if not lease_token:
        raise invalid("lease_token", "must be the one of a lease, got an empty one")
    query = select(schema.batches).where(schema.batches.c.lease_token == lease_token)
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise FailedPreconditionError(
            "no batch is leased under this token: the lease has expired and another trainer holds "
            "the batch; lease again"
        )
    return row


async def _load(connection: AsyncConnection, run: str, round_index: int) -> Batch:
    batches, rounds = schema.batches.c, schema.rounds.c
    result = await connection.execute(
        select(schema.batches, rounds.traceparent, rounds.weights_version)
        .join(schema.rounds, (rounds.run == batches.run) & (rounds.round == batches.round))
        .where(*_is(run, round_index))
    )
    row = result.one_or_none()
    if row is None:
        raise NotFoundError(f"run {run!r} round {round_index} has no batch")
    return Batch(
        run=row.run,
        round=row.round,
        sequences=row.sequences,
        response_tokens=row.response_tokens,
        weights_version=row.weights_version,
        attempt=row.attempt,
        traceparent=row.traceparent,
    )


async def _read_rows(connection: AsyncConnection, batch: Batch, position: int) -> list[Any]:
    rewards, episodes = schema.rewards.c, schema.episodes.c
    result = await connection.execute(
        select(
            rewards.position,
            rewards.advantage,
            rewards.token_weight,
            episodes.kind,
            episodes.role,
            episodes.prompt_token_ids,
            episodes.token_ids,
            episodes.logprobs,
        )
        .select_from(queueing.rewarded_episodes())
        .where(
            *queueing.of_round(batch.run, batch.round),
            rewards.position >= position,
            rewards.position < position + CHUNK_RECORDS,
            episodes.token_ids.is_not(None),
        )
        .order_by(rewards.position)
    )
    return list(result)


def _decode(rows: list[Any]) -> list[BatchSequence]:
    return [
        BatchSequence(
            index=row.position,
            kind=Kind(row.kind),
            role=Role(row.role),
            prompt_token_ids=codec.unpack(INT32, row.prompt_token_ids),
            token_ids=codec.unpack(INT32, row.token_ids),
            logprobs=codec.unpack(FLOAT32, row.logprobs),
            advantage=row.advantage,
            token_weight=row.token_weight,
        )
        for row in rows
    ]
