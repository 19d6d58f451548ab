"""The CPython that runs programs, and the files of the host that it needs."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from zeroloop.errors import ConfigError

VERSION_MIN = (3, 11)
PROBE_S = 20.0
"""A first start of an interpreter from a cold disk takes seconds, never this long."""

_PROBE = (
    "import json, platform, sys, sysconfig\n"
    "print(json.dumps([sys._base_executable, sysconfig.get_path('stdlib'),"
    " sys.version_info[:3], platform.python_implementation(), platform.machine(),"
    " sys.version]))\n"
)
_LIBRARY = re.compile(r"^\s+(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One CPython of the host, looked at from outside."""

    executable: Path
    stdlib: Path
    version: tuple[int, int, int]
    machine: str
    build: str
    """What it says of its own making: version, date and compiler."""

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def probe(executable: Path) -> Interpreter:
    """Ask the interpreter at `executable` what it is. A virtual environment's leads to its base.

    Raises:
        ConfigError: It does not start, is no CPython, or is too old.
    """
    try:
        answer = subprocess.run(
            [executable, "-I", "-S", "-c", _PROBE],
            capture_output=True,
            check=True,
            timeout=PROBE_S,
        )
        base, stdlib, version, implementation, machine, build = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(f"python: {executable} does not run: {error}") from error
    if implementation != "CPython" or tuple(version[:2]) < VERSION_MIN:
        raise ConfigError(
            f"python: {executable} is {implementation} {'.'.join(map(str, version))}; programs "
            f"need CPython {'.'.join(map(str, VERSION_MIN))} or newer"
        )
    return Interpreter(Path(base).resolve(), Path(stdlib), tuple(version), machine, build)


def shared_libraries(files: list[Path]) -> dict[Path, list[Path] | None]:
    """Which libraries of the host each of `files` loads; None where one is missing.

    Raises:
        ConfigError: `ldd` is missing or does not answer.
    """
    try:
        answer = subprocess.run(
            ["ldd", *files], capture_output=True, check=False, text=True, timeout=PROBE_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"ldd does not tell the libraries of the interpreter: {error}") from error
    libraries: dict[Path, list[Path] | None] = {file: [] for file in files}
    current = files[0]
    for line in answer.stdout.splitlines():
        if line.endswith(":") and Path(line[:-1]) in libraries:
            current = Path(line[:-1])
        elif "not found" in line:
            libraries[current] = None
        elif match := _LIBRARY.match(line):
            known = libraries[current]
            if known is not None:
                known.append(Path(match[2]))
    return libraries
