"""Pods of tests: as strict as PodSecurity asks, running Python."""

from typing import Any

from tests.cluster.cluster import Cluster

WAIT_S = 120
"""For a pod to end, image unpacking included, on a busy machine."""


def make(
    name: str,
    image: str,
    source: str,
    *,
    runtime_class: str | None = None,
    service_account: str = "default",
) -> dict[str, Any]:
    """A pod that runs some Python once, under the restricted profile."""
    container = {
        "name": "main",
        "image": image,
        "command": ["/usr/bin/python3", "-c", source],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": service_account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
    }
    if runtime_class is not None:
        spec["runtimeClassName"] = runtime_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def output_of(cluster: Cluster, namespace: str, pod: dict[str, Any]) -> str:
    """Create a pod, wait until it has succeeded, and return what it printed.

    Raises:
        ClusterError: It was refused, failed or did not end in time.
    """
    name = pod["metadata"]["name"]
    pod = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
    cluster.apply(pod)
    where = f"--namespace={namespace}"
    try:
        cluster.kubectl(
            *("wait", where, f"pod/{name}", f"--timeout={WAIT_S}s"),
            "--for=jsonpath={.status.phase}=Succeeded",
        )
    except Exception as error:
        error.add_note(cluster.kubectl("describe", where, "pod", name))
        error.add_note(cluster.kubectl("logs", where, name))
        raise
    return cluster.kubectl("logs", where, name)
