"""Whatever ends a cluster, nothing of it stays on the host."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import cgroups, host, image, pods, processes, start, stop
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import PYTHON_IMAGE, cache
from tests.cluster.errors import ClusterError
from tests.cluster.folder import Folder

GONE_S = 60.0
SLEEP = "import time; time.sleep(600)"


MOUNTS = ("/cluster/", "/run/netns", "/run/containerd", "/var/lib/kubelet", "/var/lib/cni")
SETTINGS = ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")


def host_state() -> dict[str, str]:
    """What a cluster could leave behind: interfaces, routes, mounts, filters, settings."""
    commands = {
        "interfaces": ["ip", "-brief", "link"],
        "addresses": ["ip", "-brief", "-4", "address"],
        "routes": ["ip", "-4", "route", "show", "table", "all"],
        "namespaces": ["ip", "netns", "list"],
        "filters": ["iptables-save"],
    }
    state = {
        what: subprocess.run(
            command,
            env={"PATH": host.search_path()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for what, command in commands.items()
    }
    # Comments tell the time, and chains of the kernel's own count packets.
    state["filters"] = lines_with(state["filters"], "-A", "-N", ":KUBE", ":CNI")
    state["mounts"] = lines_with(Path("/proc/self/mounts").read_text(), *MOUNTS)
    state["settings"] = "".join(Path("/proc/sys", name).read_text() for name in SETTINGS)
    state["groups"] = "\n".join(
        str(path)
        for root in cgroups.hierarchies()
        for path in sorted(root.glob("zeroloop-cluster-*"))
    )
    return state


def lines_with(text: str, *marks: str) -> str:
    return "\n".join(line for line in text.splitlines() if any(mark in line for mark in marks))


def wait_until(met: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + GONE_S
    while not met():
        assert time.monotonic() < until_s, what
        time.sleep(0.05)


@pytest.fixture
def folder(cluster_folder: Path) -> Folder:
    """Of a second cluster beside the session's."""
    return Folder(cluster_folder.with_name(cluster_folder.name + "-second"))


def with_two_pods(cluster: Cluster, tmp_path: Path) -> Cluster:
    """Have a cluster run one pod of each runtime, so that there is something to end."""
    image.make_python_root(tmp_path / "root")
    image.pack(tmp_path / "root", PYTHON_IMAGE, tmp_path / "image.tar", ["/usr/bin/python3"])
    cluster.import_image(tmp_path / "image.tar")
    for name, runtime_class in (("plain", None), ("gvisor", "gvisor")):
        pod = pods.make(name, PYTHON_IMAGE, SLEEP, runtime_class=runtime_class)
        cluster.apply({**pod, "metadata": {"name": name, "namespace": "default"}})
    cluster.kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=120s")
    return cluster


@pytest.mark.timeout(900)
def test_stopping_leaves_nothing(cluster: Cluster, folder: Folder, tmp_path: Path) -> None:
    before = host_state()
    second = with_two_pods(start.start(folder, cache(), with_parent=True), tmp_path)
    assert second.network != cluster.network
    pids = processes.of_cluster(stop.node_pid(folder))
    assert len(pids) > 10
    with pytest.raises(ClusterError, match="stop it first"):
        start.start(folder, cache(), with_parent=True)

    stop.stop(folder)
    stop.stop(folder)

    wait_until(lambda: not any(processes.start_time(str(pid)) for pid in pids), "processes stay")
    assert host_state() == before
    assert not folder.path.exists()
    assert cluster.get("nodes")["items"], "the other cluster is untouched"


STARTER = """
import sys, time
from pathlib import Path
from tests.cluster import start
from tests.cluster.folder import Folder
start.start(Folder(Path(sys.argv[1])), Path(sys.argv[2]), with_parent=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(900)
def test_a_killed_starter_takes_its_cluster_along(folder: Folder) -> None:
    before = host_state()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, folder.path, cache()],
        cwd=start.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    assert "up\n" in iter(starter.stdout.readline, ""), "it never came up"
    pids = processes.of_cluster(stop.node_pid(folder))

    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()

    wait_until(lambda: not any(processes.start_time(str(pid)) for pid in pids), "processes stay")
    assert not stop.running(folder)
    stop.stop(folder)
    assert host_state() == before
    assert not folder.path.exists()


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(ClusterError, match="not a cluster's folder"):
        stop.stop(Folder(tmp_path))

    assert (tmp_path / "thesis.txt").exists()


def test_stopping_what_was_never_started_is_fine(tmp_path: Path) -> None:
    stop.stop(Folder(tmp_path / "none"))
