"""What a tree of processes costs the machine."""

import os
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


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
