"""Starting a cluster: from an empty folder to a node that is Ready."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.cluster import cgroups, configuration, dns, host, image, network, stop
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.folder import Folder
from tests.cluster.network import Network
from tests.cluster.programs import build, catalog

ROOT = Path(__file__).resolve().parents[2]
START_S = 600.0
"""Everything together, on a machine that is busy with something else."""

POLL_S = 0.2
API_NAME = f"kubernetes.default.svc.{configuration.DOMAIN}"
LOG_LINES = 15


def start(
    folder: Folder, cache: Path, *, with_parent: bool, report: Callable[[str], None] = print
) -> Cluster:
    """Build what is missing and start a cluster; return when pods can run.

    Args:
        folder: Where it lives. Must hold no running cluster.
        cache: $ZEROLOOP_CACHE.
        with_parent: Whether it ends with the calling thread, whatever ends that.
        report: Told what is going on.

    Raises:
        ClusterError: Something is missing, or it did not come up; says what and where its logs
            are. Nothing is left running then.
    """
    host.check()
    programs = build.build(catalog.CLUSTER, cache, report)
    programs["runc"] = Path(host.program("runc"))
    folder.path.mkdir(parents=True, exist_ok=True)
    with stop.locked(folder):
        if stop.running(folder):
            raise ClusterError(f"one runs in {folder.path}; stop it first: make cluster-down")
        stop.clear(folder)
        folder.make()
        try:
            return _start(folder, cache, programs, with_parent, report)
        except BaseException as error:
            stop.clear(folder, keep_logs=True)
            if isinstance(error, ClusterError):
                raise ClusterError(f"{error}\nlogs: {folder.logs}") from error
            raise


def _start(
    folder: Folder,
    cache: Path,
    programs: dict[str, Path],
    with_parent: bool,
    report: Callable[[str], None],
) -> Cluster:
    began_s = time.monotonic()
    # Two clusters that start at once must not choose the same addresses.
    with build.locked(cache / "cluster" / "network.lock"):
        chosen = network.choose(network.taken_by_host())
        settings = {
            "block": str(chosen.block),
            "cgroup": f"zeroloop-cluster-{secrets.token_hex(4)}",
            "programs": {name: str(path) for name, path in programs.items()},
        }
        folder.settings.write_text(json.dumps(settings, indent=1) + "\n")
        cgroups.make(folder.cgroup())
        cni = host.cni_folder()
        assert cni is not None, "host.check() has looked"
        configuration.write(folder, chosen, programs, cni)
        node = _start_node(folder, with_parent=with_parent)
        _wait(lambda: folder.process.exists(), node, folder, "the node's namespaces")
        network.connect(chosen, stop.node_pid(folder), folder.owner)
    assert node.stdin is not None
    node.stdin.write(b"connected\n")
    node.stdin.close()
    cluster = Cluster(folder, chosen, programs)
    _wait(lambda: _answers(cluster, "containerd"), node, folder, "containerd")
    _import_pause(cluster)
    _wait(lambda: _answers(cluster, "api"), node, folder, "the API server")
    report(f"API server ready after {time.monotonic() - began_s:.1f} s")
    cluster.apply(*_objects(chosen))
    _wait(lambda: _node_is_ready(cluster), node, folder, "the node to be Ready")
    # From here this goes the way of pods: kube-proxy's rules, then CoreDNS with what it has read.
    _wait(lambda: dns.resolves(chosen.dns_address, API_NAME), node, folder, "cluster DNS")
    report(f"node and DNS ready after {time.monotonic() - began_s:.1f} s")
    return cluster


def _start_node(folder: Folder, *, with_parent: bool) -> subprocess.Popen[bytes]:
    command = [
        host.program("unshare"),
        *("--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL"),
        *("--propagation", "private", "--"),
        *(sys.executable, "-m", "tests.cluster.node", str(folder.path)),
    ]
    if with_parent:
        command = [host.program("setpriv"), "--pdeathsig", "KILL", "--", *command]
    # Nothing of the cluster is behind a proxy, and neither is what pods see.
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    with (folder.logs / "node.log").open("wb") as log:
        # A session of its own: Ctrl-C is for us, who then stop it in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )


def _wait(
    met: Callable[[], bool], node: subprocess.Popen[bytes], folder: Folder, what: str
) -> None:
    until_s = time.monotonic() + START_S
    while not met():
        if node.poll() is not None:
            raise ClusterError(f"the node ended while starting:\n{_tail(folder, 'node')}")
        if time.monotonic() > until_s:
            raise ClusterError(f"waited {START_S:.0f} s for {what}:\n{_tail(folder, 'node')}")
        time.sleep(POLL_S)


def _tail(folder: Folder, name: str) -> str:
    lines = (folder.logs / f"{name}.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])


def _answers(cluster: Cluster, which: str) -> bool:
    try:
        if which == "containerd":
            return cluster.containerd_serves_pods()
        cluster.kubectl("get", "--raw", "/readyz")
    except ClusterError:
        return False
    return True


def _import_pause(cluster: Cluster) -> None:
    root = cluster.folder.path / "tmp" / "pause"
    root.mkdir()
    (root / "pause").write_bytes(cluster.programs["pause"].read_bytes())
    (root / "pause").chmod(0o755)
    archive = cluster.folder.path / "tmp" / "pause.tar"
    image.pack(root, configuration.PAUSE_IMAGE, archive, ["/pause"])
    cluster.import_image(archive)


def _node_is_ready(cluster: Cluster) -> bool:
    try:
        node = cluster.get("node", configuration.NODE)
        # Pods are refused until this exists.
        cluster.get("serviceaccount", "default", "--namespace=default")
    except ClusterError:
        return False
    conditions = {entry["type"]: entry["status"] for entry in node["status"]["conditions"]}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


DNS_PORTS: Final = (("dns", "UDP"), ("dns-tcp", "TCP"))


def _objects(chosen: Network) -> list[dict[str, Any]]:
    """What an installer would create: the runtime class, and cluster DNS with its rights."""
    ports = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in DNS_PORTS]
    dns = {"name": "kube-dns", "namespace": "kube-system"}
    role = {"name": "system:coredns"}
    reads = ["list", "watch"]
    return [
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "gvisor"},
            "handler": "runsc",
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": role,
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": reads,
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": reads,
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}
            ],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": dns,
            "spec": {"clusterIP": str(chosen.dns_address), "ports": ports},
        },
        # CoreDNS is a process of the node and not a pod, so its Service selects nothing.
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns-node",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [str(chosen.node_address)], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
