"""The life of a service process: settings, listening, serving, draining.

A service's `__main__` is one call:

    raise SystemExit(run_service("buffer", BufferSettings, application))

where `application(settings, server, health)` is an async context manager that registers
its servicers on the server, calls `await health.serving("zeroloop.buffer.v1.TaskService")`
when they can work, and releases what it holds when it is left. The server starts to listen
right after the context is entered, so whatever takes long belongs into a task of its own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services._server import exposition, telemetry
from services._server.auth import Authenticator, SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services._server.health import Health
from services._server.parent import end_with_parent
from services._server.reviews import ClusterReviews
from services._server.settings import S, ServiceSettings, environment, load_settings
from services._server.tracing import TracingInterceptor
from services._server.transport import health_port, listen
from zeroloop.client.channel import MESSAGE_BYTES_MAX
from zeroloop.client.token import service_token
from zeroloop.errors import ConfigError, ZeroloopError

Application = Callable[[S, grpc.aio.Server, Health], AbstractAsyncContextManager[Any]]

EXIT_CONFIG = 64
"""A setting or input is wrong; starting again cannot help."""

EXIT_LOST = 1
"""Something that the service cannot do without is gone; starting again may help."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # Without this two processes could silently share a port.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Else long silent calls collect strikes, and one GOAWAY kills every call in flight.
    ("grpc.http2.max_ping_strikes", 0),
]


def run_service(service: str, kind: type[S], application: Application[S]) -> int:
    """Run a service until SIGTERM or SIGINT; return the process's exit code."""
    parent_pid = os.getppid()
    try:
        settings = load_settings(service, kind, sys.argv[1:], environment())
        if settings.exit_with_parent:
            end_with_parent(parent_pid)
        asyncio.run(_serve(service, settings, application))
    except ConfigError as error:
        print(f"zeroloop {service}: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except (ZeroloopError, ExceptionGroup) as error:
        lost = _leaves(error)
        if not all(isinstance(leaf, ZeroloopError) for leaf in lost):
            raise
        print(f"zeroloop {service}: {'; '.join(map(str, lost))}", file=sys.stderr)
        return EXIT_LOST
    finally:
        telemetry.shutdown()
    return 0


def _leaves(error: Exception) -> list[Exception]:
    """What a group of errors consists of; tasks that fail together come as one."""
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return [leaf for one in group.exceptions for leaf in _leaves(one)]
    return [error]


class _Registrar:
    """Hands servicers on to a server and remembers their names, for reflection."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names = [reflection.SERVICE_NAME, "grpc.health.v1.Health"]

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self.names += [handler.service_name() for handler in handlers]
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self._server.add_registered_method_handlers(service, handlers)


@asynccontextmanager
async def _authenticator(settings: ServiceSettings) -> AsyncGenerator[Authenticator]:
    if settings.auth == "token":
        yield SharedToken(service_token(settings.token_file))
        return
    from services._server import cluster

    namespace = settings.auth_namespace or cluster.own_namespace()
    async with cluster.cluster_client() as client:
        reviewer = cluster.ClusterReviewer(client)
        yield ClusterReviews(reviewer, audience=settings.auth_audience, namespace=namespace)


def _observe(service: str, settings: ServiceSettings) -> None:
    """Set up telemetry, which from here on tells of everything that happens."""
    otlp = bool(environment().get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    port = settings.metrics_port
    telemetry.configure(
        service,
        folder=settings.telemetry_dir,
        otlp=otlp,
        log_level=settings.log_level,
        readers=[] if port is None else [exposition.make_reader()],
    )
    if port is not None:
        exposition.serve(settings.host, port)


async def _serve(service: str, settings: S, application: Application[S]) -> None:
    _observe(service, settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        authenticator = await stack.enter_async_context(_authenticator(settings))
        server = grpc.aio.server(
            interceptors=[
                TracingInterceptor(),
                TokenInterceptor(authenticator),
                ErrorInterceptor(),
            ],
            options=_OPTIONS,
        )
        # However this ends: a server that outlives its event loop takes the process down with it.
        stack.push_async_callback(server.stop, None)
        health = Health()
        health.observe(service)
        health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
        registrar = _Registrar(server)
        await stack.enter_async_context(
            application(settings, cast("grpc.aio.Server", registrar), health)
        )
        address = listen(server, settings)
        await stack.enter_async_context(health_port(health, settings))
        reflection.enable_server_reflection(registrar.names, server)
        await server.start()
        if settings.address_file is not None:
            _write_atomically(settings.address_file, address)
        await stop.wait()
        health.draining.set()
        await health.not_serving()
        await asyncio.sleep(settings.drain_delay_s)
        await server.stop(settings.drain_s)


def _write_atomically(path: Path, text: str) -> None:
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)
