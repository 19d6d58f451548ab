"""The registry of weights: which versions exist and where their files are."""

import math
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import limits, schema
from services.buffer.changes import Changes
from services.buffer.database import Database
from services.buffer.runs import lock_run, require_known
from zeroloop.core.batches import Weights, WeightsPage
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    invalid,
)

_DIGEST_CHARS = 64


class Registry:
    """Weights of every run."""

    def __init__(self, database: Database, changes: Changes, now_s: Callable[[], float]) -> None:
        self._database = database
        self._changes = changes
        self._now_s = now_s

    async def publish(self, weights: Weights) -> Weights:
        """Register a version; the same digest again changes nothing.

        Raises:
            AlreadyExistsError: The version has another digest.
            FailedPreconditionError: The version before it was never published.
        """
        _require_valid(weights)
        async with self._database.writing() as connection:
            now_s = self._now_s()
            await lock_run(connection, self._database, weights.run, now_s)
            known = await _row(connection, weights.run, weights.version)
            if known is None:
                await _require_predecessor(connection, weights)
                await connection.execute(
                    schema.weights.insert().values(
                        run=weights.run,
                        version=weights.version,
                        manifest_digest=weights.manifest_digest,
                        promoted=weights.promoted,
                        removed=False,
                        **_where_and_what(weights),
                        published_at_s=now_s,
                    )
                )
            elif known.manifest_digest != weights.manifest_digest:
                raise AlreadyExistsError(
                    f"run {weights.run!r} weights {weights.version} are published with digest "
                    f"{known.manifest_digest}, got {weights.manifest_digest}"
                )
            elif known.removed:
                await _update(
                    connection,
                    known,
                    removed=False,
                    published_at_s=now_s,
                    **_where_and_what(weights),
                )
            published = await _load(connection, weights.run, weights.version)
        self._changes.announce()
        return published

    async def get(self, run: str, version: int | None) -> Weights:
        """Return one version; None: the newest.

        Raises:
            NotFoundError: There is none.
        """
        limits.require_run(run)
        async with self._database.reading() as connection:
            if version is None:
                version = await _newest(connection, run)
            if version is None:
                raise NotFoundError(f"run {run!r} has no weights")
            return await _load(connection, run, version)

    async def list(self, run: str, page_size: int, page_token: str) -> WeightsPage:
        """Return one page of versions, newest first.

        Raises:
            NotFoundError: No such run.
        """
        limits.require_run(run)
        size, start = limits.page_size(page_size), limits.page_start(page_token)
        table = schema.weights.c
        query = select(schema.weights).where(*_present(run))
        if start is not None:
            query = query.where(table.version < start)
        async with self._database.reading() as connection:
            await require_known(connection, run)
            result = await connection.execute(query.order_by(table.version.desc()).limit(size + 1))
            rows = result.all()
        found = tuple(_weights(row) for row in rows[:size])
        return WeightsPage(found, str(found[-1].version) if len(rows) > size else "")

    async def promote(self, run: str, version: int) -> Weights:
        """Mark a version to be kept for ever.

        Raises:
            NotFoundError: No such version.
        """
        limits.require_run(run)
        async with self._database.writing() as connection:
            await _load(connection, run, version)
            await _update(connection, await _row(connection, run, version), promoted=True)
            return await _load(connection, run, version)

    async def watch(self, run: str, after_version: int) -> AsyncGenerator[Weights]:
        """Yield every version above `after_version`, first those there are.

        Raises:
            UnavailableError: The service drains; another replica may go on.
        """
        limits.require_run(run)
        table = schema.weights.c
        while not self._changes.closed:
            mark = self._changes.mark()
            query = (
                select(schema.weights)
                .where(*_present(run), table.version > after_version)
                .order_by(table.version)
                .limit(limits.PAGE_SIZE_DEFAULT)
            )
            async with self._database.reading() as connection:
                rows = (await connection.execute(query)).all()
            for row in rows:
                after_version = row.version
                yield _weights(row)
            if not rows:
                await self._changes.wait(mark, math.inf)
        raise UnavailableError("the buffer is shutting down; watch again")

    async def remove(self, run: str, version: int) -> None:
        """Forget a version whose bytes were removed; its digest stays reserved.

        Raises:
            NotFoundError: There never was such a version.
            FailedPreconditionError: It is promoted or the newest.
        """
        limits.require_run(run)
        async with self._database.writing() as connection:
            row = await _row(connection, run, version, lock=True)
            if row is None:
                raise NotFoundError(f"run {run!r} has no weights {version}")
            if row.removed:
                return
            newest = await _newest(connection, run)
            if row.promoted or version == newest:
                why = "promoted" if row.promoted else "the newest"
                raise FailedPreconditionError(
                    f"run {run!r} weights {version} are {why} and must stay"
                )
            await _update(connection, row, removed=True)


def _require_valid(weights: Weights) -> None:
    limits.require_run(weights.run)
    limits.require_range("weights.version", weights.version, 0)
    limits.require_range("weights.bytes", weights.size_bytes, 0)
    digest = weights.manifest_digest
    if len(digest) != _DIGEST_CHARS or set(digest) - set("0123456789abcdef"):
        raise invalid(
            "weights.manifest_digest",
            f"must be {_DIGEST_CHARS} lower-case hexadecimal digits, got {digest!r}",
        )
    if not weights.uri:
        raise invalid("weights.uri", "must say where the files are, got an empty one")


async def _require_predecessor(connection: AsyncConnection, weights: Weights) -> None:
    """Raise unless the version of the queued batch before this one was published."""
    if weights.version == 0:
        return
    batches = schema.batches.c
    before = await connection.scalar(
        select(func.max(batches.round)).where(
            batches.run == weights.run, batches.round < weights.version
        )
    )
    # Rounds that are not trained on, such as round 0, make no version of their own.
    predecessor = before or 0
    if await _row(connection, weights.run, predecessor) is None:
        raise FailedPreconditionError(
            f"run {weights.run!r}: weights {weights.version} follow version {predecessor}, which "
            "is not published; publish that one first"
        )


def _where_and_what(weights: Weights) -> dict[str, Any]:
    return {
        "uri": weights.uri,
        "size_bytes": weights.size_bytes,
        "attributes": dict(weights.attributes),
    }


def _present(run: str) -> tuple[Any, ...]:
    return schema.weights.c.run == run, schema.weights.c.removed.is_(False)


async def _newest(connection: AsyncConnection, run: str) -> int | None:
    return await connection.scalar(select(func.max(schema.weights.c.version)).where(*_present(run)))


async def _row(
    connection: AsyncConnection, run: str, version: int, *, lock: bool = False
) -> Any | None:
    table = schema.weights.c
    query = select(schema.weights).where(table.run == run, table.version == version)
    if lock:
        query = query.with_for_update()
    return (await connection.execute(query)).one_or_none()


async def _update(connection: AsyncConnection, row: Any, **values: Any) -> None:
    table = schema.weights.c
    await connection.execute(
        update(schema.weights)
        .where(table.run == row.run, table.version == row.version)
        .values(**values)
    )


async def _load(connection: AsyncConnection, run: str, version: int) -> Weights:
    row = await _row(connection, run, version)
    if row is None or row.removed:
        raise NotFoundError(f"run {run!r} has no weights {version}")
    return _weights(row)


def _weights(row: Any) -> Weights:
    return Weights(
        run=row.run,
        version=row.version,
        uri=row.uri,
        manifest_digest=row.manifest_digest,
        size_bytes=row.size_bytes,
        promoted=row.promoted,
        published_at=datetime.fromtimestamp(row.published_at_s, UTC),
        attributes=row.attributes,
    )
