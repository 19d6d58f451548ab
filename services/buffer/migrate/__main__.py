"""`python -m services.buffer.migrate`: upgrade the database's schema, and end.

Takes the buffer's own settings, and environment variables ZEROLOOP_BUFFER__<FIELD>.
"""

import asyncio
import logging
import os
import sys

from services._server.settings import load_settings
from services.buffer.database import open_database
from services.buffer.migrate import prepare_schema
from services.buffer.schema import VERSION
from services.buffer.settings import BufferSettings
from zeroloop.errors import ConfigError, CorruptDataError, UnavailableError

EXIT_CONFIG, EXIT_RETRY = 64, 75


async def migrate(settings: BufferSettings) -> str:
    """Bring the schema up to date; return the database's name."""
    database = open_database(
        settings.database_url.get_secret_value(),
        connections=settings.connections_max,
        busy_timeout_s=settings.busy_timeout_s,
        synchronous=settings.sqlite_synchronous,
    )
    try:
        await prepare_schema(database, upgrade=True)
        return database.name
    finally:
        await database.close()


def main() -> int:
    """Migrate; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        program = "python -m services.buffer.migrate"
        arguments, environ = sys.argv[1:], os.environ
        settings = load_settings("buffer", BufferSettings, arguments, environ, program=program)
        name = asyncio.run(migrate(settings))
    except (ConfigError, CorruptDataError) as error:
        print(f"zeroloop buffer: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except UnavailableError as error:
        print(f"zeroloop buffer: {error}", file=sys.stderr)
        return EXIT_RETRY
    print(f"database {name} has schema {VERSION}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
