"""Bring the schema of a database to what this service needs."""

from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from services.buffer.database import Database
from zeroloop.errors import ConfigError

FOLDER = Path(__file__).parent / "migrations"

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
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    newest = cast("str", script.get_current_head())
    current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return
    if current is not None and current not in {step.revision for step in script.walk_revisions()}:
        raise ConfigError(
            f"database {name} has schema {current}, which is newer than this service's {newest}; "
            "run a newer version of zeroloop, or use another database"
        )
    if not upgrade:
        raise ConfigError(
            f"database {name} has schema {current or 'none'}, but this service needs {newest}; "
            "start one service with --migrate to upgrade it"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
