"""Stopping a cluster: at any time, twice, from any process, after any death of its starter."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.cluster import cgroups, network, processes
from tests.cluster.errors import ClusterError
from tests.cluster.folder import Folder

END_S = 60.0
"""For the kernel to end every process and to remove what they held."""

POLL_S = 0.02


def running(folder: Folder) -> bool:
    """Whether the node of that cluster is alive."""
    record = _record(folder)
    return record is not None and _alive(record)


def node_pid(folder: Folder) -> int:
    """Return the number of the node's first process, as the host sees it.

    Raises:
        ClusterError: No cluster was started there.
    """
    record = _record(folder)
    if record is None:
        raise ClusterError(f"no cluster was started in {folder.path}")
    return record[0]


def stop(folder: Folder, *, keep_logs: bool = False) -> None:
    """Stop the cluster in that folder if there is one, and remove everything that it made.

    Args:
        folder: Where it lives; a folder that does not exist is one without a cluster.
        keep_logs: Leave `folder.logs`.

    Raises:
        ClusterError: A process did not end within a minute, or the folder is not a cluster's;
            nothing was deleted then.
    """
    with suppress(FileNotFoundError), _ended_and_locked(folder):
        clear(folder, keep_logs=keep_logs)
        if not keep_logs:
            folder.path.rmdir()


def clear(folder: Folder, *, keep_logs: bool = False) -> None:
    """The same for who holds the folder's lock; the folder itself stays.

    The kernel does the work: it ends all processes of the node's namespaces with its first one,
    and then removes the namespaces with their mounts, interfaces and packet filters.
    """
    _refuse_if_not_ours(folder)
    if (record := _record(folder)) is not None:
        _kill(record)
    if folder.settings.exists():
        network.disconnect(folder.network(), folder.owner)
        cgroups.remove(folder.cgroup())
    _refuse_if_mounted(folder)
    for entry in folder.path.iterdir():
        if keep_logs and entry in {folder.logs, folder.mark}:
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextmanager
def locked(folder: Folder) -> Generator[None]:
    """Hold the folder, so that nobody else starts or clears a cluster in it.

    Raises:
        ClusterError: Another process holds it.
    """
    if not (held := _try_lock(folder)):
        raise ClusterError(f"another process starts or stops the cluster in {folder.path}")
    with held:
        yield


@contextmanager
def _ended_and_locked(folder: Folder) -> Generator[None]:
    """Hold the folder after ending its cluster, which makes one who is starting it give up."""
    until_s = time.monotonic() + END_S
    while not (held := _try_lock(folder)):
        if (record := _record(folder)) is not None:
            _kill(record)
        if time.monotonic() > until_s:
            raise ClusterError(f"another process holds {folder.path}")
        time.sleep(POLL_S)
    with held:
        yield


def _try_lock(folder: Folder) -> ExitStack | None:
    """A lock on the folder itself; the kernel lets go of it when its holder ends."""
    with ExitStack() as stack:
        descriptor = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return stack.pop_all()


def _record(folder: Folder) -> tuple[int, int] | None:
    """Number and start time of the node's first process."""
    try:
        record = json.loads(folder.process.read_text())
    except FileNotFoundError:
        return None
    return record["pid"], record["start_time"]


def _alive(record: tuple[int, int]) -> bool:
    pid, started = record
    return processes.start_time(str(pid)) == started


def _kill(record: tuple[int, int]) -> None:
    until_s = time.monotonic() + END_S
    # The first process of a namespace is gone only after all others in it are.
    while _alive(record):
        with suppress(ProcessLookupError):
            os.kill(record[0], signal.SIGKILL)
        if time.monotonic() > until_s:
            raise ClusterError(f"process {record[0]} does not end")
        time.sleep(POLL_S)


def _refuse_if_not_ours(folder: Folder) -> None:
    """Nobody's home folder is emptied by a mistyped --folder."""
    if any(folder.path.iterdir()) and not folder.mark.exists():
        raise ClusterError(f"{folder.path} is not a cluster's folder; nothing was deleted")


def _refuse_if_mounted(folder: Folder) -> None:
    """Deleting through a mount would delete what is not ours."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{folder.path}/"):
            raise ClusterError(f"{line.split()[1]} is still mounted; nothing was deleted")
