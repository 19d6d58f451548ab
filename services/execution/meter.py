"""What a sandbox really costs the host.

gVisor's processor clock of a program runs on while the host keeps it waiting for a processor,
so on a loaded machine it would kill programs that have hardly run. The host knows better: the
Sentry and, on systrap and ptrace, one process per address space are ordinary processes of its.

In a pod the process table is gVisor's, and its clock the one that runs on; see `yardstick`.
"""

import os
from collections import deque
from dataclasses import dataclass, field

TAPE_SAMPLES = 256
TRIFLE = 0.2

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """Processor seconds of a sandbox at one moment, by process."""

    kernel_s: float = 0.0
    """Of `runsc run` and its direct children, the Sentry among them."""

    spaces_s: dict[int, float] = field(default_factory=dict[int, float])
    """Of each process that carries guest code."""


def spent_s(before: Sample, after: Sample) -> float:
    """What one program can have used between two samples.

    That of the busiest address space, and a fair share of the Sentry's work: among as many as were
    about as busy. Of a program that computes, nothing is left out; one that mostly has the Sentry
    work for it, beside others that compute, may get some more time, until its wall-clock limit.
    All of the Sentry's work for each of them would be too much: four programs of 0.3 s were seen
    to share a second of it.
    """
    spaces = [total - before.spaces_s.get(pid, 0.0) for pid, total in after.spaces_s.items()]
    busiest_s = max(spaces, default=0.0)
    busy = sum(0 < used_s >= busiest_s / 2 for used_s in spaces) or 1
    return (after.kernel_s - before.kernel_s) / busy + busiest_s


def all_used(before: Sample, after: Sample, limit_s: float) -> bool:
    """Whether each address space that did more than a trifle has used so much, with the Sentry's.

    Then the one that is meant has, whichever it is: among those that have work nobody gets a small
    part of what others get.
    """
    spaces = [total - before.spaces_s.get(pid, 0.0) for pid, total in after.spaces_s.items()]
    working = [used_s for used_s in spaces if used_s >= TRIFLE * limit_s]
    kernel_s = (after.kernel_s - before.kernel_s) / max(1, len(working))
    return min(working, default=-kernel_s) + kernel_s >= limit_s > 0


class Tape:
    """Samples of the recent past, for runs of which nobody knew that they would take long."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=TAPE_SAMPLES)

    def add(self, now_s: float, sample: Sample) -> None:
        """Keep a sample that was taken now."""
        self._samples.append((now_s, sample))

    def clear(self) -> None:
        """Forget all: time in which nothing was recorded says nothing about a run after it."""
        self._samples.clear()

    def before(self, moment_s: float) -> tuple[float, Sample] | None:
        """The last one from before, or if there is none the first one; with its time."""
        known = [pair for pair in self._samples if pair[0] <= moment_s]
        return known[-1] if known else next(iter(self._samples), None)


class HostMeter:
    """Reads the process table; remembers which processes are not of interest."""

    def __init__(self) -> None:
        self._foreign: set[int] = set()
        self._parents: dict[int, int] = {}

    def sample(self, root_pid: int) -> Sample:
        """Measure the sandbox whose `runsc run` is `root_pid`."""
        used_s = self._read()
        kernel_s = 0.0
        spaces_s: dict[int, float] = {}
        for pid, seconds in used_s.items():
            depth = self._depth(pid, root_pid)
            if depth is None:
                self._foreign.add(pid)
            elif depth <= 1:
                kernel_s += seconds
            else:
                spaces_s[pid] = seconds
        return Sample(kernel_s, spaces_s)

    def memory_bytes(self, root_pid: int) -> int:
        """Resident memory of the Sentry and its helpers; what guests use is in it."""
        self._read()
        kernel = [pid for pid in self._parents if (self._depth(pid, root_pid) or 9) <= 1]
        return sum(map(_resident_bytes, kernel))

    def _read(self) -> dict[int, float]:
        # By name: a Path for each process would cost more than all the rest.
        present = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
        self._foreign &= present
        used_s: dict[int, float] = {}
        self._parents.clear()
        for pid in present - self._foreign:
            text = _proc_file(pid, "stat")
            if not text:
                continue
            fields = text[text.rindex(b")") + 2 :].split()
            self._parents[pid] = int(fields[1])
            used_s[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        return used_s

    def _depth(self, pid: int, root_pid: int) -> int | None:
        """Generations between a process and the sandbox's root; None if unrelated."""
        depth = 0
        while pid != root_pid:
            if pid not in self._parents:
                return None
            pid = self._parents[pid]
            depth += 1
        return depth


def _resident_bytes(pid: int) -> int:
    fields = _proc_file(pid, "statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _proc_file(pid: int, name: str) -> bytes:
    """Read so often that a file object would cost more than all the rest; empty if it has ended."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, _PROC_FILE_BYTES_MAX)
    except OSError:
        return b""
    finally:
        os.close(fd)
