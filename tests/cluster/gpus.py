"""Fake nodes with GPUs: kwok says of their pods that they run, and nothing does.

What decides where pods go and what becomes of them is real: scheduler, Deployments, Jobs.
"""

import json
import subprocess
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any

import yaml

from tests.cluster import host, stop
from tests.cluster.cluster import Cluster
from tests.cluster.configuration import NODE
from tests.cluster.errors import ClusterError

RESOURCE = "nvidia.com/gpu"
PER_NODE = 8
POOL = "zeroloop.test/pool"
"""Label of a node: what it is there for."""

_TAKES_GPU_NODES = {"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"}
"""What a pod tolerates that may run on them."""

_FAKE = "kwok.x-k8s.io/node"
_ADDRESSES = "198.18.0.0/15"
"""Of pods and nodes: for benchmarks, so nobody in any network has them."""

_NODE_ADDRESS = "198.19.255.254"
_LEASE_S = 40
_READY_S = 60.0


def values(*, serving: str, training: str) -> dict[str, Any]:
    """Values of the chart that send engines and whole-node trainers to the nodes of two pools.

    Nobody plays, so there is no database.
    """
    return {
        "inference": _on_gpus(serving, 1),
        "training": _on_gpus(training, PER_NODE),
        "runsVolume": {"accessModes": ["ReadWriteMany"]},
        "buffer": {"enabled": False},
        "postgresql": {"enabled": False},
        "targets": {"buffer": "dns:///nobody:50051"},
    }


def _on_gpus(pool: str, count: int) -> dict[str, Any]:
    return {
        "gpu": {"count": count},
        "nodeSelector": {POOL: pool},
        "tolerations": [_TAKES_GPU_NODES],
    }


@contextmanager
def faked(cluster: Cluster) -> Generator[None]:
    """Nodes that `join` lets in work while the block lasts; afterwards there are none.

    kwok ends with this thread, whatever ends it.
    """
    _refuse_calls(cluster)
    stages = cluster.folder.path / "kwok.yaml"
    stages.write_text(yaml.safe_dump_all(_STAGES))
    command = [
        *(host.program("setpriv"), "--pdeathsig", "KILL", "--", str(cluster.programs["kwok"])),
        f"--config={stages}",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--manage-nodes-with-annotation-selector={_FAKE}=fake",
        f"--node-lease-duration-seconds={_LEASE_S}",
        f"--cidr={_ADDRESSES}",
        f"--node-ip={_NODE_ADDRESS}",
    ]
    with (cluster.folder.logs / "kwok.log").open("wb") as log:
        kwok = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        cluster.kubectl("delete", "nodes", f"--selector={POOL}")
        kwok.terminate()
        kwok.wait()


def join(cluster: Cluster, pool: str, names: Collection[str]) -> None:
    """Let nodes with 8 GPUs each into the cluster; return when pods can be put on them.

    Raises:
        ClusterError: kwok has not made them Ready in time.
    """
    cluster.apply(*(_node(name, pool) for name in names))
    until_s = time.monotonic() + _READY_S
    while not set(names) <= _ready(cluster):
        if time.monotonic() > until_s:
            raise ClusterError(f"{', '.join(names)}: not Ready; see kwok.log")
        time.sleep(0.2)


def asked_for(pod: dict[str, Any]) -> int:
    """GPUs of a pod."""
    return sum(
        int(container["resources"].get("limits", {}).get(RESOURCE, 0))
        for container in pod["spec"]["containers"]
    )


def _refuse_calls(cluster: Cluster) -> None:
    """Let the node take the pods' addresses for its own, where nobody listens.

    Without that, who calls one waits for a long time.
    """
    space = f"--net=/proc/{stop.node_pid(cluster.folder)}/ns/net"
    route = ("route", "replace", "local", _ADDRESSES, "dev", "lo")
    subprocess.run([host.program("nsenter"), space, host.program("ip"), *route], check=True)


def _ready(cluster: Cluster) -> set[str]:
    nodes = cluster.get("nodes", f"--selector={POOL}")["items"]
    # The taint against nodes that are not ready is taken away a moment after they are.
    return {
        node["metadata"]["name"]
        for node in nodes
        if node.get("status", {}).get("allocatable") and len(node["spec"]["taints"]) == 1
    }


def _node(name: str, pool: str) -> dict[str, Any]:
    labels = {
        POOL: pool,
        # Volumes of tests are folders of the one machine and say so by this label. A cluster with
        # such nodes has a file system that all of them share.
        "kubernetes.io/hostname": NODE,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {_FAKE: "fake"}},
        "spec": {"taints": [{"key": RESOURCE, "value": "present", "effect": "NoSchedule"}]},
    }


# ---- what kwok says of nodes and pods, as its Stage objects


def _stage(
    name: str, kind: str, selector: list[tuple[str, str, str]], **following: Any
) -> dict[str, Any]:
    expressions = [
        {"key": key, "operator": operator, **({"values": [value]} if value else {})}
        for key, operator, value in selector
    ]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": expressions},
            "next": following,
        },
    }


def _conditions(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": "NOW"} for kind in kinds]


def _template(status: dict[str, Any], container: dict[str, Any] | None = None) -> str:
    """A status as kwok's template: JSON, which is YAML, with its functions filled in."""
    text = json.dumps(status)
    if container is not None:
        one = json.dumps({"name": "NAME", "image": "IMAGE", "imageID": "", **container})
        one = one.replace('"NAME"', "{{ .name | Quote }}")
        one = one.replace('"IMAGE"', "{{ .image | Quote }}")
        text = text.replace(
            '"CONTAINERS"', f"[{{{{ range .spec.containers }}}}{one},{{{{ end }}}}]"
        )
    text = text.replace('"NOW"', "{{ Now | Quote }}")
    return text.replace('"ADDRESS"', f"{{{{ {_ADDRESS} | Quote }}}}")


_ADDRESS = "PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace"
_RESOURCES = {"cpu": "128", "memory": "1Ti", "pods": "110", RESOURCE: str(PER_NODE)}
_DELETED = ".metadata.deletionTimestamp"
_PHASE = ".status.phase"

_STAGES = [
    _stage(
        "node-is-ready",
        "Node",
        [(".status.allocatable", "DoesNotExist", "")],
        statusTemplate=_template(
            {
                "addresses": [{"type": "InternalIP", "address": _NODE_ADDRESS}],
                "capacity": _RESOURCES,
                "allocatable": _RESOURCES,
                "conditions": [
                    {**condition, "lastHeartbeatTime": "NOW", "reason": "Fake"}
                    for condition in _conditions("Ready")
                ],
            }
        ),
    ),
    _stage(
        "pod-is-ready",
        "Pod",
        [(_DELETED, "DoesNotExist", ""), (_PHASE, "In", "Pending")],
        statusTemplate=_template(
            {
                "phase": "Running",
                "startTime": "NOW",
                "hostIP": _NODE_ADDRESS,
                "podIP": "ADDRESS",
                "podIPs": [{"ip": "ADDRESS"}],
                "conditions": _conditions("Initialized", "ContainersReady", "Ready"),
                "containerStatuses": "CONTAINERS",
            },
            {
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "NOW"}},
            },
        ),
    ),
    # As a kubelet does it: a pod that must go ends first, or its Job would wait for that.
    _stage(
        "pod-has-ended",
        "Pod",
        [(_DELETED, "Exists", ""), (_PHASE, "NotIn", "Failed")],
        statusTemplate=_template(
            {"phase": "Failed", "containerStatuses": "CONTAINERS"},
            {
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": 143, "reason": "Error", "finishedAt": "NOW"}},
            },
        ),
    ),
    _stage(
        "pod-is-gone",
        "Pod",
        [(_DELETED, "Exists", ""), (_PHASE, "In", "Failed")],
        delete=True,
    ),
]
