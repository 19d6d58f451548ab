"""The control group of a cluster's pods, in whatever hierarchies the host has."""

import os
import time
from pathlib import Path

from tests.cluster.errors import ClusterError

CONTROLLERS = {"cpu", "cpuset", "hugetlb", "memory", "pids"}
REMOVE_S = 10.0
POLL_S = 0.02


def hierarchies() -> list[Path]:
    """Roots of the mounted hierarchies: v2's one, v1's one per controller, or both kinds."""
    found: dict[Path, None] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            found[Path(place)] = None
    return list(found)


def make(name: str) -> None:
    """Make the group everywhere; harmless if it is there."""
    for root in hierarchies():
        _delegate(root)
        (root / name).mkdir(exist_ok=True)
        # Without processors and memory a group of cgroup v1 takes no process.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (root / name / setting).exists() and (root / setting).exists():
                _inherit(root, name, setting)


def remove(name: str) -> None:
    """Remove the group and all below it, which holds no process any more; harmless if it is not.

    Raises:
        ClusterError: The kernel still keeps it after some seconds.
    """
    until_s = time.monotonic() + REMOVE_S
    while left := [root / name for root in hierarchies() if (root / name).exists()]:
        if time.monotonic() > until_s:
            raise ClusterError(f"cannot remove {left[0]}: see its cgroup.procs")
        for group in left:
            _remove_tree(group)


def _remove_tree(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:  # a moment ago it held a process
            time.sleep(POLL_S)


def _delegate(root: Path) -> None:
    """Have v2 pass on the controllers that the kubelet asks for, as container engines do."""
    if not (root / "cgroup.controllers").exists():
        return
    for controller in (root / "cgroup.controllers").read_text().split():
        if controller in CONTROLLERS:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")


def _inherit(root: Path, name: str, setting: str) -> None:
    own = root / name / setting
    if not own.read_text().strip():
        own.write_text((root / setting).read_text())
