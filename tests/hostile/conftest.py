"""What the hostile programs run in: a real sandbox, in each mode that there is."""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
import pytest_asyncio

from services._server.errors import ErrorInterceptor
from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.metered import MeteredRunner
from services.execution.servicer import ExecutionServicer
from services.execution.settings import ExecutionSettings
from zeroloop.client.channel import MESSAGE_BYTES_MAX
from zeroloop.core.execution import Isolation
from zeroloop.execution.v1 import execution_pb2_grpc

MODES: dict[str, dict[str, Any]] = {mode: {"mode": mode} for mode in ("strict", "reset")}
"""Each mode, and what asks `Pool.execute` and `ExecutionClient.execute` for it."""


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return MODES[request.param]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    settings = ExecutionSettings(
        mode="reset",  # offers `strict` as well; where it does not work, that is a failure
        sandboxes=1,
        workers=2,
        runsc=os.environ.get("ZEROLOOP_TEST_RUNSC") or None,  # another one, such as Debian's
        scratch_dir=tmp_path_factory.mktemp("sandboxes"),
    )
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        assert backend.capabilities.isolation is Isolation.GVISOR
        yield backend


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address(backend: Backend) -> AsyncIterator[str]:
    """Where the service answers over a real wire, with the real sandbox behind it."""
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor()],
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)],
    )
    runner = MeteredRunner(backend.pool, backend.capabilities.isolation)
    servicer = ExecutionServicer(runner, backend.capabilities)
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=None)
