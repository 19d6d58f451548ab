"""From settings to a pool that works: interpreter, image, runsc, platform."""

import asyncio
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.execution import selftest
from services.execution.cache import ResultCache
from services.execution.flight import ResetImpossibleError, SandboxLostError
from services.execution.isolation import pod, runsc
from services.execution.isolation.image import Image, ensure_image
from services.execution.isolation.interpreter import probe
from services.execution.isolation.launch import (
    STRICT_ALONE,
    GvisorLauncher,
    Inside,
    Launcher,
    PodLauncher,
    UnsafeLauncher,
)
from services.execution.pool import Pool, PoolSize
from services.execution.sandbox import Sandbox
from services.execution.scratch import scratch_folder
from services.execution.settings import ExecutionSettings
from zeroloop.core.execution import Capabilities
from zeroloop.errors import ConfigError, UnavailableError

logger = logging.getLogger(__name__)

GO_SUM = Path(__file__).resolve().parents[2] / "tools" / "gvisor" / "go.sum"
PLATFORM_READY_S = 15.0
"""A platform that does not work may hang instead of failing."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A working pool and what it is made of."""

    pool: Pool
    capabilities: Capabilities
    cache: ResultCache


def cache_folder(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Where built things are kept."""
    named = environ.get("ZEROLOOP_CACHE")
    return configured or (Path(named) if named else Path.home() / ".cache" / "zeroloop")


def built_runsc(cache: Path) -> Path:
    """Where `tools/gvisor/install` puts the runsc that belongs to this checkout."""
    pinned = GO_SUM.read_bytes() if GO_SUM.exists() else b""
    return cache / "bin" / f"runsc-{hashlib.sha256(pinned).hexdigest()[:16]}"


@asynccontextmanager
async def open_backend(settings: ExecutionSettings, cache: Path) -> AsyncGenerator[Backend]:
    """Start sandboxes as `settings` say, with every limit proven; end them afterwards.

    Raises:
        ConfigError: There is no isolation, or a limit does not bite; says what mends it.
    """
    launchers = await asyncio.to_thread(_launchers, settings, cache)
    base = settings.scratch_dir or Path(tempfile.gettempdir()) / f"zeroloop-execution-{os.getuid()}"
    size = PoolSize(
        sandboxes=settings.sandboxes,
        workers=settings.workers,
        queue_runs_max=settings.queue_runs_max,
        recycle_runs=settings.recycle_runs,
        recycle_growth=settings.recycle_growth,
    )
    with scratch_folder(base) as scratch:
        launcher, first = await _first_sandbox(settings, launchers, scratch)
        kept = ResultCache(settings.cache_mib << 20)
        pool = Pool(launcher, scratch, size, launcher.image.digest, kept)
        async with pool.running(first):
            yield Backend(pool, _capabilities(settings, launcher, pool), kept)


def _launchers(settings: ExecutionSettings, cache: Path) -> Sequence[Launcher]:
    """The ways to start a sandbox, best first. Finds out first what is missing most often."""
    match settings.isolation:
        case "gvisor":
            found = runsc.find_runsc(settings.runsc, built_runsc(cache))
            image = _image(settings, cache)
            return [
                GvisorLauncher(found, image, platform=platform, inside=inside)
                for platform in _platforms(settings)
                for inside in _insides(settings, image)
            ]
        case "gvisor-pod":
            release = pod.require_gvisor_pod()
            image = _image(settings, cache)
            return [
                PodLauncher(image, kernel_release=release, inside=inside)
                for inside in _insides(settings, image)
            ]
        case "unsafe":
            image = _image(settings, cache)
            return [UnsafeLauncher(image, inside=inside) for inside in _insides(settings, image)]


def _insides(settings: ExecutionSettings, image: Image) -> Sequence[Inside]:
    """What sandboxes may offer, best first."""
    strict = replace(STRICT_ALONE, preload=settings.preload)
    unlikely = not image.resets or settings.isolation == "unsafe"  # which has no procfs
    if settings.mode == "strict" or (settings.mode == "auto" and unlikely):
        return [strict]
    reset = replace(strict, workers=settings.workers, memory_bytes=settings.memory_mib << 20)
    return [reset] if settings.mode == "reset" else [reset, strict]


def _image(settings: ExecutionSettings, cache: Path) -> Image:
    return ensure_image(probe(settings.python or Path(sys.executable)), cache)


def _platforms(settings: ExecutionSettings) -> Sequence[str]:
    return ("systrap", "ptrace") if settings.platform == "auto" else (settings.platform,)


async def _first_sandbox(
    settings: ExecutionSettings, launchers: Sequence[Launcher], scratch: Path
) -> tuple[Launcher, Sandbox]:
    """Start a sandbox in the first way in which one starts and every limit bites."""
    failures: list[str] = []
    for launcher in launchers:
        mode = "reset" if launcher.resets else "strict"
        try:
            return launcher, await _proven(launcher, scratch, settings.workers)
        except (SandboxLostError, ResetImpossibleError, UnavailableError) as error:
            failures.append(f"{launcher.platform or 'unsafe'}, {mode}: {error}")
            logger.warning("sandbox_unusable", extra={"why": failures[-1]})
    remedy = pod.REMEDY if settings.isolation == "gvisor-pod" else runsc.REMEDY
    raise ConfigError(f"no isolation that works: {'; '.join(failures)}; {remedy}")


async def _proven(launcher: Launcher, scratch: Path, workers: int) -> Sandbox:
    sandbox = await Sandbox.start(launcher, scratch, workers=workers, ready_s=PLATFORM_READY_S)
    try:
        await selftest.prove(sandbox, isolation=launcher.isolation, workers=workers)
    except BaseException:
        await sandbox.close()
        raise
    return sandbox


def _capabilities(settings: ExecutionSettings, launcher: Launcher, pool: Pool) -> Capabilities:
    return Capabilities(
        isolation=launcher.isolation,
        platform=launcher.platform,
        runtime_version=launcher.runtime_version,
        python_version=launcher.image.interpreter.version_text,
        image_digest=launcher.image.digest,
        modes=pool.modes,
        default_limits=settings.default_limits(),
        workers=settings.sandboxes * settings.workers,
        queue_runs_max=settings.queue_runs_max,
    )
