"""Wiring: from settings to a servicer that can work."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc.aio

from services._server import Health
from services._server.settings import environment
from services.execution.backend import cache_folder, open_backend
from services.execution.metered import MeteredRunner, tell_of
from services.execution.pool import Pool
from services.execution.servicer import ExecutionServicer
from services.execution.settings import ExecutionSettings
from zeroloop.core.execution import Isolation
from zeroloop.execution.v1 import execution_pb2_grpc

logger = logging.getLogger(__name__)

SERVICE = "zeroloop.execution.v1.ExecutionService"
BROKEN_LOOK_S = 1.0
"""How often we look whether a sandbox works; a probe runs only if it was quiet for long."""


@asynccontextmanager
async def application(
    settings: ExecutionSettings, server: grpc.aio.Server, health: Health
) -> AsyncGenerator[None]:
    """Run programs for callers of `server` until the block ends.

    Raises:
        ConfigError: Without isolation there is no service.
    """
    cache = cache_folder(settings.cache_dir, environment())
    async with open_backend(settings, cache) as backend:
        capabilities = backend.capabilities
        if capabilities.isolation is Isolation.UNSAFE:
            logger.warning("isolation_is_off", extra={"setting": "--isolation=unsafe"})
        tell_of(capabilities, backend.cache)
        runner = MeteredRunner(backend.pool, capabilities.isolation)
        servicer = ExecutionServicer(runner, capabilities)
        execution_pb2_grpc.add_ExecutionServiceServicer_to_server(servicer, server)
        await health.serving(SERVICE)
        logger.info(
            "execution_ready",
            extra={
                "isolation": capabilities.isolation.value,
                "platform": capabilities.platform,
                "runtime_version": capabilities.runtime_version,
                "python_version": capabilities.python_version,
                "modes": " ".join(capabilities.modes),
            },
        )
        watcher = asyncio.create_task(_watch(backend.pool, health, settings.health_s))
        try:
            yield
        finally:
            watcher.cancel()


async def _watch(pool: Pool, health: Health, quiet_s: float) -> None:
    """Serving means that programs run, not that the process answers."""
    serving = True
    while True:
        await asyncio.sleep(min(BROKEN_LOOK_S, quiet_s))
        works = await pool.probe(quiet_s)
        if works != serving:
            serving = works
            logger.warning("health_changed", extra={"serving": works, "why": pool.fleet.broken})
            await (health.serving(SERVICE) if works else health.not_serving(SERVICE))
