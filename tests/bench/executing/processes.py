"""What a tree of processes costs the machine."""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_KCMP = {"x86_64": 312, "aarch64": 272}
"""The number of kcmp(2), for which the C library has no name."""
_KCMP_VM = 1


def tree_of(*roots: int) -> dict[int, list[str]]:
    """The roots and all that come from them, each with its fields of `/proc/<pid>/stat`.

    The fields begin at the third, the state: the parent is the second of them.
    """
    fields: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                text = (entry / "stat").read_text()
                fields[int(entry.name)] = text[text.rindex(")") + 2 :].split()
    tree = set(roots) & fields.keys()
    while more := {pid for pid, found in fields.items() if int(found[1]) in tree} - tree:
        tree |= more
    return {pid: fields[pid] for pid in tree}


def processor_s(*roots: int) -> float:
    """Processor time of trees of processes, with that of children that have ended."""
    ticks = sum(int(count) for fields in tree_of(*roots).values() for count in fields[11:15])
    return ticks / TICKS_PER_S


def proportional_bytes(*roots: int) -> int:
    """Memory of trees of processes; what several share counts for each in proportion.

    An address space counts once: gVisor has several processes in each that it makes, and the
    kernel tells each of them all of it.
    """
    counted: list[int] = []
    found = 0
    for pid in tree_of(*roots):
        with suppress(OSError):
            size = _pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
            if not any(_share_memory(pid, other) for other in counted):
                counted.append(pid)
                found += size
    return found


def _share_memory(one: int, other: int) -> bool:
    """Whether two processes are in one address space.

    Raises:
        OSError: One has ended, or the kernel does not tell.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    told = libc.syscall(_KCMP[platform.machine()], one, other, _KCMP_VM, 0, 0)
    if told < 0:
        raise OSError(ctypes.get_errno(), f"kcmp of {one} and {other}")
    return told == 0


def _pss_bytes(rollup: str) -> int:
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0
