"""What this machine is made of."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores that this process may use, memory that it can have, and GPUs."""

    cores: int
    memory_gib: float
    memory_free_gib: float
    gpus: tuple[str, ...]

    def __str__(self) -> str:
        gpus = ", ".join(self.gpus) if self.gpus else "no GPU found"
        return f"{self.cores} cores, {self.memory_gib:.0f} GiB, {gpus}"


def this_machine() -> Machine:
    """Look at the machine; Linux."""
    total, free = _memory_gib(Path("/proc/meminfo").read_text("utf-8"))
    return Machine(len(os.sched_getaffinity(0)), total, free, _gpus())


def _memory_gib(meminfo: str) -> tuple[float, float]:
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    kib = [int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable")]
    return kib[0] / 2**20, kib[1] / 2**20


def _gpus() -> tuple[str, ...]:
    query = shutil.which("nvidia-smi")
    if query is None:
        return ()
    command = [query, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_QUERY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(answer.stdout.split("\n")[:-1]) if answer.returncode == 0 else ()
