"""Transactions on SQLite or PostgreSQL: what differs between the two is here.

On SQLite there is one writing connection, whose transactions take the write lock at once
(BEGIN IMMEDIATE), so that none fails half-way because it read before it wrote; readers see a
snapshot and never wait (WAL). On PostgreSQL transactions lock the rows they change
(SELECT ... FOR UPDATE, which SQLAlchemy leaves out on SQLite).
"""

import logging
import os
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from zeroloop.errors import ConfigError, CorruptDataError, InvalidRequestError, UnavailableError

logger = logging.getLogger(__name__)

WAL_BYTES_MAX = 64 * 1024 * 1024
"""To which SQLite's write-ahead log shrinks again after a large stage."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_REMEDY_OF = {
    sqlite3.SQLITE_FULL: "free space on its disk, for instance with `zeroloop prune`",
    sqlite3.SQLITE_IOERR: "check the space on its disk and the disk itself",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_BUSY: "another process holds it; end that process or try again",
}


class _Connection(sqlite3.Connection):
    """One whose transaction ends with it.

    SQLite undoes a closed connection's transaction when the last statement is gone, and keeps the
    write lock as long. A statement that was cancelled stays for as long as its error's traceback.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed before, or its disk is gone: there is no transaction
            self.rollback()
        super().close()


class Database:
    """The database behind one service."""

    def __init__(self, url: URL, readers: AsyncEngine, writer: AsyncEngine) -> None:
        self.url = url
        self._readers = readers
        self._writer = writer

    @property
    def name(self) -> str:
        """How messages name it; never with its password."""
        if self.url.get_backend_name() == "sqlite":
            return str(self.url.database)
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that reads one snapshot.

        Raises:
            UnavailableError: The database did not answer.
        """
        with self._translated():
            async with self._readers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that is committed when its block ends, and undone when that raises.

        Raises:
            UnavailableError: The database did not answer, or its disk is full; nothing was
                written.
        """
        with self._translated():
            async with self._writer.begin() as connection:
                yield connection

    def insert_new(self, table: Table) -> Any:
        """An INSERT that does nothing where a row with the same key exists."""
        dialect = sqlite if self.url.get_backend_name() == "sqlite" else postgresql
        return dialect.insert(table).on_conflict_do_nothing()

    async def release_pages(self) -> None:
        """Give pages that pruning freed back to the file system, where that is not automatic."""
        if self.url.get_backend_name() == "sqlite":
            async with self.writing() as connection:
                raw = await connection.get_raw_connection()
                # Frees one page for each step, and of all calls only this one steps to the end.
                driver: Any = raw.driver_connection
                await driver.executescript("PRAGMA incremental_vacuum")

    async def close(self) -> None:
        """Close every connection."""
        await self._readers.dispose()
        await self._writer.dispose()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise UnavailableError(
                f"database {self.name} is busy: no free connection in time; try again"
            ) from error
        except DataError as error:
            raise InvalidRequestError(f"a value cannot be stored: {error.orig}") from error
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise self._translate(error) from error
        except InterfaceError as error:
            raise self._translate(error) from error

    def _translate(self, error: DBAPIError) -> Exception:
        # Extended result codes carry the plain one in their lowest byte.
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            return CorruptDataError(f"database {self.name} is damaged: {error.orig}")
        if not isinstance(error, OperationalError | InterfaceError):
            return error  # Our SQL is wrong: a bug.
        if code == sqlite3.SQLITE_ERROR and self.url.get_backend_name() == "sqlite":
            return error
        logger.warning("database_failed", extra={"database": self.name, "error": str(error.orig)})
        remedy = _REMEDY_OF.get(code, "see that it runs and can be reached, then try again")
        return UnavailableError(
            f"database {self.name}: {str(error.orig).strip()}; nothing was written. "
            f"Remedy: {remedy}"
        )


def open_database(
    url_text: str, *, connections: int, busy_timeout_s: float, synchronous: str = "FULL"
) -> Database:
    """Return the database at `url_text`; nothing is read before the first transaction.

    Args:
        url_text: `sqlite:///path/to/file` or `postgresql://user:password@host/name`.
        connections: Most that are open at once for reading, and on PostgreSQL for all.
        busy_timeout_s: How long a transaction waits for a connection or for SQLite's write lock.
        synchronous: SQLite's setting of that name; FULL survives a power cut.

    Raises:
        ConfigError: The URL is neither, or SQLite's file cannot be made.
    """
    try:
        url = make_url(url_text)
    except ArgumentError as error:
        raise ConfigError(f"database_url: {error}") from error
    match url.get_backend_name():
        case "sqlite":
            return _open_sqlite(url, connections, busy_timeout_s, synchronous)
        case "postgresql":
            return _open_postgresql(url, connections, busy_timeout_s)
        case other:
            raise ConfigError(
                f"database_url must start with sqlite:/// or postgresql://, got {other}://"
            )


def _open_postgresql(url: URL, connections: int, busy_timeout_s: float) -> Database:
    url = url.set(drivername="postgresql+psycopg")
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout_s,
        pool_pre_ping=True,
        connect_args={"application_name": "zeroloop-buffer", "connect_timeout": 10},
    )
    return Database(url, engine.execution_options(isolation_level="REPEATABLE READ"), engine)


def _open_sqlite(url: URL, connections: int, busy_timeout_s: float, synchronous: str) -> Database:
    if not url.database or url.database == ":memory:":
        raise ConfigError("database_url: SQLite needs a file, for instance sqlite:///run/buffer.db")
    _create_private(Path(url.database))
    url = url.set(drivername="sqlite+aiosqlite")

    def connect(begin: str, size: int, pragmas: tuple[str, ...]) -> AsyncEngine:
        engine = create_async_engine(
            url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=busy_timeout_s,
            connect_args={"timeout": busy_timeout_s, "factory": _Connection},
        )
        _prepare_sqlite(engine, begin, pragmas)
        return engine

    for_writing = (
        # Only a new file takes this one; it lets pruning shrink the file.
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        f"journal_size_limit={WAL_BYTES_MAX}",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
    )
    readers = connect("BEGIN", connections, ("query_only=ON",))
    return Database(url, readers, connect("BEGIN IMMEDIATE", 1, for_writing))


def _create_private(path: Path) -> None:
    """Make the file, readable by this user alone; the log files beside it inherit that."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(
            f"database_url: cannot open {path}: {error.strerror}; make its folder, or choose "
            "another one"
        ) from error


def _prepare_sqlite(engine: AsyncEngine, begin: str, pragmas: tuple[str, ...]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(dbapi_connection: Any, record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        del record
        # Else the driver would begin transactions by itself, and later than we want.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql(begin)
