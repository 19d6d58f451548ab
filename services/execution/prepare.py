"""`python -m services.execution.prepare`: make what the service needs, and prove that it works.

`make setup` runs it; takes the service's own flags and environment.
"""

import asyncio
import sys

from services._server.settings import environment, load_settings
from services.execution.backend import cache_folder, open_backend
from services.execution.settings import ExecutionSettings
from zeroloop.core.execution import Capabilities, Isolation
from zeroloop.errors import ConfigError

EXIT_CONFIG = 64


async def prepare(settings: ExecutionSettings) -> Capabilities:
    """Start the service's sandboxes once, with every limit proven, and end them."""
    async with open_backend(settings, cache_folder(settings.cache_dir, environment())) as backend:
        return backend.capabilities


def main(arguments: list[str]) -> int:
    try:
        settings = load_settings("execution", ExecutionSettings, arguments, environment())
        found = asyncio.run(prepare(settings))
    except ConfigError as error:
        print(f"zeroloop execution: {error}", file=sys.stderr)
        return EXIT_CONFIG
    if found.isolation is Isolation.UNSAFE:
        print(f"sandbox: NO ISOLATION, CPython {found.python_version}")
    else:
        print(
            f"sandbox: gVisor {found.runtime_version} on {found.platform}, "
            f"CPython {found.python_version}, every limit proven in {' and '.join(found.modes)}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
