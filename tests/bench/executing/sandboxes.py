"""What a sandbox costs: time until its first result, memory, processor time."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.execution import backend as backends
from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.cache import ResultCache
from services.execution.isolation.launch import Launcher
from services.execution.pool import Pool, PoolSize
from services.execution.sandbox import Sandbox
from services.execution.settings import ExecutionSettings
from tests.bench.executing.callers import Caller
from tests.bench.executing.processes import processor_s, tree_of
from tests.bench.executing.spreads import spread
from tests.bench.executing.targets import row
from tests.bench.report import Row
from tests.cluster.processes import memory_bytes
from tests.singly import of_pool

PRELOAD = (
    "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools",
    "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string",
    "typing",
)  # fmt: skip
"""Modules that programs of a model import most."""

STARTS = 5
START_S = 60.0


def cache() -> Path:
    """Where sandbox images and runsc lie."""
    return cache_folder(None, os.environ)


@asynccontextmanager
async def opened(scratch: Path, **settings: Any) -> AsyncGenerator[Backend]:
    """A backend whose sandboxes all work."""
    asked = ExecutionSettings(scratch_dir=scratch, **settings)
    async with open_backend(asked, cache()) as backend:
        async with asyncio.timeout(START_S):
            while len(backend.pool.fleet.working) < asked.sandboxes:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)
        yield backend


def pids(backend: Backend) -> list[int]:
    """The first process of each sandbox that works now."""
    return [sandbox.pid for sandbox in backend.pool.fleet.working]


def used_s(backend: Backend) -> float:
    """Processor time that the sandboxes have used."""
    return processor_s(*pids(backend))


def memory_row(backend: Backend) -> Row:
    """Memory of one sandbox with one worker that has worked for a while in every mode."""
    mib = memory_bytes(tree_of(*pids(backend))) / len(pids(backend)) / 2**20
    return row("memory of a sandbox with one worker (PSS)", mib, "MiB", "memory")


async def start_rows(mode: str, platform: str) -> list[Row]:
    """From nothing to the first result, as the service comes and with modules preloaded."""
    found: dict[str, list[float]] = {"": [], f", {len(PRELOAD)} modules preloaded": []}
    for _ in range(STARTS):
        for words, modules in zip(found, ((), PRELOAD), strict=True):
            launcher = _launcher(platform, modules, mode)
            found[words].append(1000 * await _first_result_s(launcher, mode))
    return [
        row(f"{mode}: start of a sandbox to its first result{words}", spread(ms), "ms", "start")
        for words, ms in found.items()
    ]


def _launcher(platform: str, preload: Sequence[str], mode: str) -> Launcher:
    settings = ExecutionSettings(platform=platform, preload=tuple(preload), mode=mode, workers=1)
    [launcher] = backends._launchers(settings, cache())
    return launcher


async def _first_result_s(launcher: Launcher, mode: str) -> float:
    with tempfile.TemporaryDirectory(prefix="zeroloop-bench-") as folder:
        began_s = time.perf_counter()
        sandbox = await Sandbox.start(launcher, Path(folder), workers=1)
        size = PoolSize(sandboxes=1, workers=1)
        nothing = ResultCache(0)
        pool = Pool(launcher, Path(folder), size, launcher.image.digest, nothing)
        async with pool.running(sandbox):
            await Caller(of_pool(pool), mode).single()
            return time.perf_counter() - began_s
