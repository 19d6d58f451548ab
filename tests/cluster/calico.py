"""Calico on a running cluster: it gives pods their network and enforces NetworkPolicies.

Its CNI plugin makes the interfaces of all pods that start from then on, under names that Calico
knows them by; addresses come from where they came from. Felix, its daemon, runs among the node's
programs and keeps the node's packet filters as the policies want them.

Its kinds, objects and packet filters stay when Felix ends: a cluster that had it is good for
nothing else.
"""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import host, managers, stop
from tests.cluster.cluster import Cluster
from tests.cluster.configuration import NODE
from tests.cluster.errors import ClusterError
from tests.cluster.managers import Manager
from tests.cluster.network import NODE_INTERFACE
from tests.cluster.programs import catalog

MODULE = "github.com/projectcalico/calico"
GROUP = "crd.projectcalico.org"
HEALTH_PORT = 9099
"""In the node's network, where nothing else has it."""

PLUGIN = "calico"
"""It goes by the name that it is called by."""

GATEWAY = "169.254.1.1"
"""Where pods send everything: no interface has it, and the node answers for it."""

POLICY_S = 30
"""How long a pod waits for its policies before it starts without them."""

READY = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "ClusterInformation",
    "metadata": {"name": "default"},
    "spec": {"clusterType": "k8s", "datastoreReady": True},
}
"""What an installer of Calico's says last."""


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Have NetworkPolicies enforced while the block lasts, for pods that start in it.

    Raises:
        ClusterError: A program is missing, or Felix did not start; says why.
    """
    host.program("ipset")  # Felix calls it
    felix, plugin = (managers.program(program, cache) for program in catalog.CALICO)
    sources = managers.sources(catalog.FELIX, MODULE, cache)
    where = managers.place(cluster, "calico")
    cluster.kubectl(
        *("apply", "--server-side", "--filename"), str(sources / "libcalico-go" / "config" / "crd")
    )
    managers.until_established(cluster, f"clusterinformations.{GROUP}")
    cluster.apply(READY)
    # The kernel answers for an address only if it has a way to it.
    _run(cluster, "ip", "route", "replace", f"{GATEWAY}/32", "dev", NODE_INTERFACE)
    with (
        managers.process(
            cluster,
            "calico-felix",
            # It ends when `nsenter` is ended, which passes no signal on.
            _in_node(cluster, "setpriv", "--pdeathsig", "KILL", "--", str(felix)),
            where,
            _settings(cluster, where.scratch),
            ready=f"http://{cluster.network.node_address}:{HEALTH_PORT}/readiness",
        ) as manager,
        _plugged(cluster, plugin, where.scratch),
    ):
        yield manager


@contextmanager
def _plugged(cluster: Cluster, plugin: Path, scratch: Path) -> Generator[None]:
    """Have the plugin make the interfaces of pods, instead of what made them so far."""
    (cluster.folder.cni_plugins / PLUGIN).symlink_to(plugin)
    (before,) = cluster.folder.cni.glob("*.conflist")
    network = json.loads(before.read_text())
    (replaced,) = network["plugins"]
    network["plugins"] = [_plugin(cluster, scratch, replaced["ipam"])]
    # Whole when it appears, and before the other by name.
    written = cluster.folder.cni / "05-calico.new"
    written.write_text(json.dumps(network, indent=1) + "\n")
    placed = written.rename(written.with_suffix(".conflist"))
    try:
        yield
    finally:
        placed.unlink()


def _plugin(cluster: Cluster, scratch: Path, ipam: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": PLUGIN,
        "datastore_type": "kubernetes",
        "nodename": NODE,
        "nodename_file_optional": True,
        "kubernetes": {"kubeconfig": str(cluster.kubeconfig)},
        "policy": {"type": "k8s"},
        "policy_setup_timeout_seconds": POLICY_S,
        "endpoint_status_dir": str(scratch / "endpoint-status"),
        "ipam": ipam,
        "log_file_path": str(cluster.folder.logs / "calico-cni.log"),
    }


def _settings(cluster: Cluster, scratch: Path) -> dict[str, str]:
    settings = {
        "DatastoreType": "kubernetes",
        "FelixHostname": NODE,
        "IPv6Support": "false",
        # The node is to pods what the network is: their policies alone say who may call it.
        "DefaultEndpointToHostAction": "ACCEPT",
        "HealthEnabled": "true",
        "HealthHost": str(cluster.network.node_address),
        "HealthPort": str(HEALTH_PORT),
        "EndpointStatusPathPrefix": str(scratch),
        "UsageReportingEnabled": "false",
        "LogFilePath": "none",
        "LogSeveritySys": "none",
        "LogSeverityScreen": "info",
    }
    return {
        "PATH": host.search_path(),
        "KUBECONFIG": str(cluster.kubeconfig),
        **{f"FELIX_{name.upper()}": value for name, value in settings.items()},
    }


def _in_node(cluster: Cluster, program: str, *arguments: str) -> list[str]:
    """A command that runs as a program of the node's."""
    target = f"--target={stop.node_pid(cluster.folder)}"
    spaces = ("--mount", "--net", "--pid")
    return [host.program("nsenter"), target, *spaces, "--", host.program(program), *arguments]


def _run(cluster: Cluster, program: str, *arguments: str) -> None:
    command = _in_node(cluster, program, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
