"""The node: the first process of a cluster's own namespaces, parent of all its programs.

`unshare` starts it with new network, mount and process namespaces. That makes an end complete by
construction: when this process ends, for whatever reason, the kernel kills every process below it,
shims and containers included, and with the last of them go all mounts, interfaces and packet
filters. Nothing has to be found again and cleaned up one by one.

What it says goes to logs/node.log.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.cluster import daemons, host, processes
from tests.cluster.daemons import Daemon
from tests.cluster.folder import Folder
from tests.cluster.network import API_PORT, configure_node

API_READY_S = 300.0
"""On a machine that is busy with something else."""

RESTARTS_MAX = 50
RESTART_AFTER_S = 1.0
POLL_S = 0.1
PRIVATE_FOLDERS = ("/var/lib", "/var/log")
"""Where programs write to fixed paths: kubelet, CNI, containerd."""

KERNEL_SETTINGS = {
    "/proc/sys/vm/overcommit_memory": 1,
    "/proc/sys/vm/panic_on_oom": 0,
    "/proc/sys/kernel/panic": 10,
    "/proc/sys/kernel/panic_on_oops": 1,
    "/proc/sys/kernel/keys/root_maxkeys": 1_000_000,
    "/proc/sys/kernel/keys/root_maxbytes": 25_000_000,
}
"""What the kubelet insists on. They belong to the whole host, so it sees files that say so."""


class Supervisor:
    """Starts programs and starts them again when they end; buries what they leave behind."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        # With its object, which would otherwise wait for the process behind our back.
        self._running: dict[int, tuple[Daemon, subprocess.Popen[bytes]]] = {}
        self._waiting: list[tuple[float, Daemon]] = []
        self._restarts = 0

    def start(self, daemon: Daemon) -> None:
        """Start a program; its output is appended to its log."""
        with (self._folder.logs / f"{daemon.name}.log").open("ab") as log:
            process = subprocess.Popen(
                daemon.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder.path,
                start_new_session=True,
            )
        say(f"{daemon.name} started as process {process.pid}")
        self._running[process.pid] = daemon, process

    def tick(self) -> None:
        """Note who ended, start again who should run, wait a moment."""
        while (ended := _ended_child()) is not None:
            pid, status = ended
            # Others are orphans: this process inherits every one in the namespace.
            if entry := self._running.pop(pid, None):
                self._note_end(entry[0], status)
        now_s = time.monotonic()
        due = [daemon for at_s, daemon in self._waiting if at_s <= now_s]
        self._waiting = [entry for entry in self._waiting if entry[0] > now_s]
        for daemon in due:
            self.start(daemon)
        time.sleep(POLL_S)

    def _note_end(self, daemon: Daemon, status: int) -> None:
        say(f"{daemon.name} ended with {os.waitstatus_to_exitcode(status)}; it is started again")
        self._restarts += 1
        if self._restarts > RESTARTS_MAX:
            raise SystemExit(f"programs ended {self._restarts} times; see logs/{daemon.name}.log")
        self._waiting.append((time.monotonic() + RESTART_AFTER_S, daemon))


def main(arguments: list[str]) -> int:
    """Run the node of the cluster in that folder until it is killed."""
    folder = Folder(Path(arguments[0]))
    programs = {
        name: Path(path)
        for name, path in json.loads(folder.settings.read_text())["programs"].items()
    }
    _tell_host_who_we_are(folder)
    # The host joins us to its network and then says so. If it ends before, so do we.
    if sys.stdin.readline() != "connected\n":
        return 1
    network = folder.network()
    _make_mounts_private(folder)
    configure_node(network)
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    # Shims are found by their names.
    os.environ["PATH"] = ":".join(
        [
            *dict.fromkeys(str(path.parent) for path in programs.values()),
            host.search_path(),
        ]
    )
    os.environ["TMPDIR"] = str(folder.path / "tmp")
    supervisor = Supervisor(folder)
    for daemon in daemons.first(folder, network, programs):
        supervisor.start(daemon)
    _wait_for_api(supervisor, folder)
    for daemon in daemons.second(folder, network, programs):
        supervisor.start(daemon)
    while True:
        supervisor.tick()


def say(line: str) -> None:
    """Write a line to the node's log."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _tell_host_who_we_are(folder: Folder) -> None:
    # /proc is still the host's, so this is our number there and not 1.
    pid = int(Path("/proc/self").readlink().name)
    record = json.dumps({"pid": pid, "start_time": processes.start_time("self")})
    scratch = folder.process.with_suffix(".new")
    scratch.write_text(record)
    scratch.rename(folder.process)


def _make_mounts_private(folder: Folder) -> None:
    """Give this node its own /proc, /run and places to write; the host sees none of it."""
    # The kubelet wants its mounts to reach containers: shared among ourselves, not with the host.
    _mount("--make-rshared", "/")
    _mount("-t", "proc", "proc", "/proc")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for path, value in KERNEL_SETTINGS.items():
        stand_in = folder.path / "tmp" / path.strip("/").replace("/", "-")
        stand_in.write_text(f"{value}\n")
        _mount("--bind", str(stand_in), path)
    for path in PRIVATE_FOLDERS:
        _shadow(Path(path), folder.path / "tmp" / path.strip("/").replace("/", "-"))


def _shadow(place: Path, scratch: Path) -> None:
    """Put a folder in memory over `place` that shows the same folders; new ones stay in it."""
    scratch.mkdir()
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(scratch))
    for entry in place.iterdir():
        if entry.is_symlink():
            (scratch / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir():
            (scratch / entry.name).mkdir()
            _mount("--rbind", str(entry), str(scratch / entry.name))
    _mount("--rbind", str(scratch), str(place))


def _mount(*arguments: str) -> None:
    subprocess.run([host.program("mount"), *arguments], check=True)


def _wait_for_api(supervisor: Supervisor, folder: Folder) -> None:
    context = ssl.create_default_context(cafile=folder.certificates / "ca.crt")
    until_s = time.monotonic() + API_READY_S
    while time.monotonic() < until_s:
        supervisor.tick()
        try:
            with urllib.request.urlopen(
                f"https://localhost:{API_PORT}/readyz", context=context, timeout=5
            ):
                return
        except (urllib.error.URLError, OSError):
            continue
    raise SystemExit(f"the API server was not ready within {API_READY_S:.0f} s")


def _ended_child() -> tuple[int, int] | None:
    """The number and wait status of a child that has ended."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
