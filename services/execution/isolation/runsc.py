"""Finding a `runsc` that works, and the container that it is asked to run."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.execution.isolation.image import PRIVATE_PROC, PYTHON, RUNNER, Image
from zeroloop.errors import ConfigError

REMEDY = (
    "run `tools/gvisor/install` (builds it; part of `make setup`), or `apt-get install runsc`, or "
    "name one with --runsc; --isolation=unsafe runs programs without any isolation"
)
VERSION_S = 20.0

# PID 1 may change to the workers' users and end them, and nothing else.
_CAPABILITIES = ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
_EMPTIED = ("/proc", "/sys", "/tmp", "/dev/shm")  # noqa: S108
"""Empty and read-only. By default gVisor puts its own there: writable folders through which runs
could meet, and a /proc through which, in older releases, a run opens the descriptors of others."""

MAPPED_BYTES_MAX = 1 << 40

_PRIVATE_PROC = {
    "destination": f"/{RUNNER}/{PRIVATE_PROC}",
    "type": "proc",
    "source": "proc",
    "options": ["ro", "nosuid", "nodev", "noexec"],
}
"""For the supervisor, which may not be seen in it by programs."""


@dataclass(frozen=True, slots=True)
class Runsc:
    """One `runsc` binary."""

    path: Path
    version: str
    isolates_gofers: bool = True
    """Takes `--gofer-network-namespace`; without it, a current one leaves a mount behind."""


def find_runsc(configured: Path | None, built: Path) -> Runsc:
    """Return the `runsc` to use: the configured one, else the project's own, else PATH's.

    Args:
        configured: From the settings.
        built: Where the project's own build of this version lies, if it was made.

    Raises:
        ConfigError: There is none, or it does not start.
    """
    if configured is not None:
        return _checked(configured)
    if built.exists():
        return _checked(built)
    if found := shutil.which("runsc"):
        return _checked(Path(found))
    raise ConfigError(f"no isolation: there is no runsc at {built} and none on PATH; {REMEDY}")


def _checked(path: Path) -> Runsc:
    try:
        answer = _ask(path, "--version")
        flags = _ask(path, "flags")
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"no isolation: {path} does not run: {error}; {REMEDY}") from error
    match = re.search(r"runsc version (\S+)", answer)
    if match is None:
        raise ConfigError(f"no isolation: {path} is not runsc; {REMEDY}")
    return Runsc(path, match[1], "-gofer-network-namespace" in flags)


def _ask(path: Path, word: str) -> str:
    answer = subprocess.run(
        [path, word], capture_output=True, check=True, text=True, timeout=VERSION_S
    )
    return answer.stdout + answer.stderr


def write_bundle(folder: Path, image: Image, *, arguments: list[str], seed: int) -> None:
    """Write the OCI bundle of one sandbox into `folder`."""
    (folder / "config.json").write_text(json.dumps(_config(image, arguments, seed)))


def _config(image: Image, arguments: list[str], seed: int) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [f"/{PYTHON}", *arguments],
            "env": environment(seed),
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "soft": 256, "hard": 256},
                # For the guard, not for programs; of addresses, whose number is no cost.
                {"type": "RLIMIT_MEMLOCK", "soft": MAPPED_BYTES_MAX, "hard": MAPPED_BYTES_MAX},
            ],
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [*(_empty_folder(path) for path in _EMPTIED), _PRIVATE_PROC],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        },
    }


def _empty_folder(path: str) -> dict[str, Any]:
    options = ["ro", "nosuid", "nodev", "noexec", "mode=0555", "size=4k"]
    return {"destination": path, "type": "tmpfs", "source": "none", "options": options}


def environment(seed: int) -> list[str]:
    """All that programs see of an environment."""
    return ["PATH=/usr/bin", f"PYTHONHASHSEED={seed}", "LC_ALL=C.UTF-8"]


def run_command(runsc: Runsc, *, platform: str, state: Path, bundle: Path, name: str) -> list[str]:
    """The command line that runs the bundle in the foreground."""
    flags = [f"--root={state}", "--network=none", "--ignore-cgroups", f"--platform={platform}"]
    if runsc.isolates_gofers:
        flags.append("--gofer-network-namespace=new")
    if os.geteuid() != 0:
        flags.append("--rootless")
    return [str(runsc.path), *flags, "run", f"--bundle={bundle}", name]


def delete_command(runsc: Runsc, *, state: Path, name: str) -> list[str]:
    """The command line that removes what a killed `runsc run` left behind."""
    return [str(runsc.path), f"--root={state}", "delete", "--force", name]
