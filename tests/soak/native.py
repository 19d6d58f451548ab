"""The service's own sandbox without gVisor, to compare with: by runc, else by chroot."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.execution.backend import cache_folder
from services.execution.cache import ResultCache
from services.execution.isolation.image import Image, ensure_image
from services.execution.isolation.interpreter import probe
from services.execution.isolation.launch import (
    SEEDS,
    STRICT_ALONE,
    WORKER_UID,
    Launched,
    Launcher,
    UnsafeLauncher,
    spawn,
    supervisor_arguments,
)
from services.execution.isolation.runsc import write_bundle
from services.execution.pool import Pool, PoolSize
from services.execution.sandbox import Sandbox

WORKERS = 2
ONE = PoolSize(
    sandboxes=1, workers=WORKERS, queue_runs_max=8192, recycle_runs=1 << 30, recycle_growth=9.0
)
_OF_GVISOR = {"/proc", "/dev/shm"}
"""Mounts that runc needs otherwise: it wants to see its own processes, and makes devices."""


class RuncLauncher(UnsafeLauncher):
    """Starts the supervisor in a container of the host's own kernel, from the same bundle."""

    async def launch(self, name: str, folder: Path) -> Launched:
        arguments = supervisor_arguments("", uid=WORKER_UID, own_clock=True, inside=STRICT_ALONE)
        write_bundle(folder, self.image, arguments=arguments, seed=SEEDS[0])
        config = folder / "config.json"
        config.write_text(json.dumps(_for_runc(json.loads(config.read_text()))))
        command = ["runc", f"--root={folder / 'state'}", "run", f"--bundle={folder}", name]
        return Launched(await spawn(command, dict(os.environ)), name, folder)


def _for_runc(config: dict[str, Any]) -> dict[str, Any]:
    kept = [mount for mount in config["mounts"] if mount["destination"] not in _OF_GVISOR]
    proc = {"destination": "/proc", "type": "proc", "source": "proc"}
    devices = {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "mode=755", "size=64k"],
    }
    # Of this kernel, which does not let everybody raise what is for gVisor alone.
    limits = [limit for limit in config["process"]["rlimits"] if limit["type"] != "RLIMIT_MEMLOCK"]
    process = config["process"] | {"rlimits": limits}
    return config | {"process": process, "mounts": [proc, devices, *kept]}


def launcher(image: Image) -> Launcher:
    """By runc where that can be had, which takes root."""
    if shutil.which("runc") and os.geteuid() == 0:
        return RuncLauncher(image)
    return UnsafeLauncher(image)


@asynccontextmanager
async def native() -> AsyncGenerator[tuple[Pool, str]]:
    """A pool on the host's own kernel, mode `strict`, and what it is started by."""
    image = ensure_image(probe(Path(sys.executable)), cache_folder(None, os.environ))
    chosen = launcher(image)
    with tempfile.TemporaryDirectory(prefix="zeroloop-native-") as folder:
        first = await Sandbox.start(chosen, Path(folder), workers=WORKERS)
        pool = Pool(chosen, Path(folder), ONE, image.digest, ResultCache(0))
        async with pool.running(first):
            yield pool, "runc" if isinstance(chosen, RuncLauncher) else "chroot"
