"""Bring the schema of a database to what this service needs."""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from services.buffer.database import Database
from services.buffer.schema import VERSION
from zeroloop.errors import ConfigError

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "migrations"

_ADVISORY_LOCK = 0x7A65726F
"""So that of several services starting at once one migrates and the others wait."""


async def prepare_schema(database: Database, *, upgrade: bool) -> None:
    """Make sure that the schema is this service's; all steps in one transaction.

    Args:
        database: Which.
        upgrade: Whether an older schema may be migrated.

    Raises:
        ConfigError: The schema is newer than this service, or older and `upgrade` is off.
    """
    async with database.writing() as connection:
        await connection.run_sync(_prepare, database.name, upgrade)


def _prepare(connection: Connection, name: str, upgrade: bool) -> None:  # noqa: FBT001
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    current = _current(connection)
    if current == VERSION:
        return
    _require_known(current, name)
    if not upgrade:
        raise ConfigError(
            f"database {name} has schema {current or 'none'}, but this service needs {VERSION}; "
            "start one service with --migrate to upgrade it"
        )
    _upgrade(connection)
    logger.info("schema_migrated", extra={"database": name, "from": current, "to": VERSION})


def _current(connection: Connection) -> str | None:
    """The version that Alembic has noted down; None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _require_known(current: str | None, name: str) -> None:
    if current is None:
        return
    from alembic.script import ScriptDirectory

    known = {step.revision for step in ScriptDirectory(FOLDER).walk_revisions()}
    if current not in known:
        raise ConfigError(
            f"database {name} has schema {current}, which is newer than this service's {VERSION}; "
            "run a newer version of zeroloop, or use another database"
        )


def _upgrade(connection: Connection) -> None:
    # Alembic talks much, and already when it is imported. It is imported late because that
    # takes a fifth of the time of a start, and few starts migrate.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
