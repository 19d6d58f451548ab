"""The processes of a running cluster, as the host sees them."""

import re
from collections import defaultdict
from pathlib import Path

_GONE = (FileNotFoundError, ProcessLookupError)


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


def memory_bytes(pids: list[int]) -> int:
    """Memory of processes together; what several of them share counts once."""
    total = 0
    for pid in pids:
        try:
            text = Path("/proc", str(pid), "smaps_rollup").read_text()
        except _GONE:
            continue
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            total += int(found[1]) * 1024
    return total
