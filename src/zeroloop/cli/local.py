"""One service on this machine for the duration of a command."""

import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from zeroloop import aio
from zeroloop.cli.checkout import find_checkout, require_packages
from zeroloop.cli.children import Child, running
from zeroloop.client.token import ensure_token
from zeroloop.core.runs import Endpoints

SERVICE_PACKAGES = ("pydantic_settings", "opentelemetry.sdk", "grpc_health", "grpc_reflection")


@asynccontextmanager
async def local_service(
    name: str, flags: Sequence[str], environ: Mapping[str, str], packages: Sequence[str] = ()
) -> AsyncGenerator[tuple[aio.Client, Child]]:
    """Start a service and connect to it; it ends with the block.

    Args:
        name: `buffer`, `execution` or `inference`.
        flags: More of its flags.
        environ: The process's environment.
        packages: What it imports besides what every service does.
    """
    checkout = find_checkout(environ)
    require_packages(*SERVICE_PACKAGES, *packages)
    # Made here if this is the first on the machine; then both sides read the same file.
    token = ensure_token()
    with tempfile.TemporaryDirectory(prefix="zeroloop-") as scratch:
        log = Path(scratch) / f"{name}.log"
        async with running(name, checkout, ["--port", "0", *flags], log) as child:
            endpoints = Endpoints(**{name: child.address})
            async with aio.connect_services(endpoints, token) as client:
                yield client, child
