"""The processes of a running cluster, as the host sees them."""

import ctypes
import platform
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_GONE = (FileNotFoundError, ProcessLookupError)
_KCMP = {"x86_64": 312, "aarch64": 272}
"""The number of kcmp(2), for which the C library has no name."""
_KCMP_VM = 1


def of_cluster(node_pid: int) -> list[int]:
    """Return the number of the node's first process and of all below it.

    None is missing: orphans of a process namespace become children of its first process.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except _GONE:
            continue
        children[int(fields[1])].append(int(process.name))
    found = [node_pid]
    for pid in found:
        found.extend(children[pid])
    return found


def start_time(process: str) -> int | None:
    """When a process started, in the kernel's ticks: with its number, who it is for ever.

    None if there is none of that number, or only a dead one that its parent has not noticed yet.
    """
    try:
        fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
    except _GONE:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of processes together; what several of them share counts once.

    So does an address space, though gVisor keeps several processes in each that it makes, and the
    kernel tells all of it for each of them.

    Raises:
        OSError: The kernel does not tell whether two processes share one.
    """
    counted: list[int] = []
    total = 0
    for pid in pids:
        try:
            text = Path("/proc", str(pid), "smaps_rollup").read_text()
            if any(_share_memory(pid, other) for other in counted):
                continue
        except _GONE:
            continue
        counted.append(pid)
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            total += int(found[1]) * 1024
    return total


def _share_memory(one: int, other: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    told = libc.syscall(_KCMP[platform.machine()], one, other, _KCMP_VM, 0, 0)
    if told < 0:
        raise OSError(ctypes.get_errno(), f"kcmp of {one} and {other}")
    return told == 0
