"""Wiring: from settings to servicers that can work."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc.aio

from services._server import Health
from services.buffer.changes import Changes
from services.buffer.database import Database, open_database
from services.buffer.metering import (
    MeteredBatches,
    MeteredRounds,
    MeteredStages,
    MeteredTasks,
)
from services.buffer.migrate import prepare_schema
from services.buffer.retention import Retention
from services.buffer.servicer import RoundServicer, TaskServicer
from services.buffer.settings import BufferSettings
from services.buffer.training_servicer import BatchServicer, RegistryServicer
from services.buffer.weights import Registry
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.errors import ConfigError, CorruptDataError, UnavailableError

SERVICES = ("TaskService", "RoundService", "BatchService", "WeightsRegistry")


@asynccontextmanager
async def application(
    settings: BufferSettings, server: grpc.aio.Server, health: Health
) -> AsyncGenerator[None]:
    """Serve the buffer on `server` until the block ends.

    Raises:
        ConfigError: The database cannot be used.
    """
    database = open_database(
        settings.database_url.get_secret_value(),
        connections=settings.connections_max,
        busy_timeout_s=settings.busy_timeout_s,
        synchronous=settings.sqlite_synchronous,
    )
    changes = Changes(settings.recheck_s)
    try:
        await _prepare(database, settings)
        register(
            server,
            database,
            changes,
            now_s=time.time,
            new_token=partial(secrets.token_hex, 16),
            spool_dir=settings.spool_dir,
        )
        await health.serving(*(f"zeroloop.buffer.v1.{name}" for name in SERVICES))
        closing = asyncio.create_task(_close_when_draining(health, changes))
        yield
        closing.cancel()
    finally:
        changes.close()
        await database.close()


async def _prepare(database: Database, settings: BufferSettings) -> None:
    try:
        await prepare_schema(database, upgrade=settings.migrate)
    except (UnavailableError, CorruptDataError) as error:
        raise ConfigError(f"database_url: {error}") from error


async def _close_when_draining(health: Health, changes: Changes) -> None:
    # Else calls that only wait would use up the time that others have to finish.
    await health.draining.wait()
    changes.close()


def register(
    server: grpc.aio.Server,
    database: Database,
    changes: Changes,
    *,
    now_s: Callable[[], float],
    new_token: Callable[[], str],
    spool_dir: Path | None = None,
) -> None:
    """Add the four services of the buffer to `server`.

    Args:
        server: Not started yet.
        database: Whose schema is prepared.
        changes: Shared by everything in this process that uses the database.
        now_s: The time, seconds since the epoch.
        new_token: Makes a lease token that nobody can guess.
        spool_dir: For temporary files; None: the system's folder.
    """
    tasks = MeteredTasks(database, now_s)
    rounds = MeteredRounds(database, changes, now_s)
    round_servicer = RoundServicer(
        rounds, MeteredStages(database, now_s), Retention(database), spool_dir
    )
    batches = MeteredBatches(database, changes, now_s, new_token)
    registry = Registry(database, changes, now_s)
    buffer_pb2_grpc.add_TaskServiceServicer_to_server(TaskServicer(tasks), server)
    buffer_pb2_grpc.add_RoundServiceServicer_to_server(round_servicer, server)
    buffer_pb2_grpc.add_BatchServiceServicer_to_server(BatchServicer(batches), server)
    buffer_pb2_grpc.add_WeightsRegistryServicer_to_server(RegistryServicer(registry), server)
