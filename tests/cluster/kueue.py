"""Kueue on a running cluster: its CRDs, its controller as a process here, its webhooks, and quotas.

It is asked about Jobs only, by the same webhooks as in any installation of Kueue.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import gpus, managers
from tests.cluster.cluster import Cluster
from tests.cluster.managers import HERE, Manager, Place
from tests.cluster.programs import catalog

MODULE = "sigs.k8s.io/kueue"
GROUP = "kueue.x-k8s.io"
VERSION = f"{GROUP}/v1beta2"
NAMESPACE = "kueue-system"
KINDS = [
    f"{plural}.{GROUP}"
    for plural in ("workloads", "localqueues", "clusterqueues", "resourceflavors")
]
LIMIT = "--timeout=240s"
PLENTY = {"cpu": "10k", "memory": "10Ti", "ephemeral-storage": "10Ti"}

_METRICS = "/etc/kueue/metrics/certs"
"""Where Kueue wants a certificate for metrics, even if it serves none."""


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install Kueue, run its controller while the block lasts, and take both away.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    program = managers.program(catalog.KUEUE, cache)
    components = managers.sources(catalog.KUEUE, MODULE, cache) / "config" / "components"
    where = managers.place(cluster, "kueue")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    command = _command(cluster, program, where)
    with (
        managers.kinds(cluster, components / "crd" / "bases", KINDS),
        managers.process(cluster, "kueue-manager", command, where) as manager,
        managers.webhooks(
            cluster,
            "kueue",
            components / "webhook" / "manifests.yaml",
            where,
            groups=[GROUP, "batch"],
        ),
    ):
        try:
            yield manager
        finally:
            # Some have a finalizer: without the controller they would stay for ever.
            cluster.kubectl("delete", ",".join(KINDS), "--all", "--all-namespaces", LIMIT)


def quota(name: str, namespace: str, count: int) -> list[dict[str, Any]]:
    """A LocalQueue that lets in work for so many GPUs at once, and what it needs."""
    amounts = {**PLENTY, gpus.RESOURCE: str(count)}
    resources = [{"name": key, "nominalQuota": amount} for key, amount in amounts.items()]
    flavor = {"name": name, "resources": resources}
    return [
        {"apiVersion": VERSION, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "apiVersion": VERSION,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {
                "namespaceSelector": {},
                "resourceGroups": [{"coveredResources": list(amounts), "flavors": [flavor]}],
            },
        },
        {
            "apiVersion": VERSION,
            "kind": "LocalQueue",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]


def _command(cluster: Cluster, program: Path, where: Place) -> list[str]:
    settings = {
        "apiVersion": f"config.{VERSION}",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"{HERE}:{where.health}"},
        "webhook": {
            "host": str(where.address),
            "port": where.webhook,
            "certDir": str(where.certificates),
        },
        "featureGates": {"VisibilityOnDemand": False},
        "integrations": {"frameworks": ["batch/job"]},
    }
    path = where.write("kueue.yaml", settings)
    start = f"exec {program} --config={path} --kubeconfig={cluster.kubeconfig}"
    # Its own view of /etc, which has the certificate and leaves this host's alone.
    upper, work = where.scratch / "etc", where.scratch / "work"
    (upper / Path(_METRICS).relative_to("/etc")).mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    mount = f"mount -t overlay etc -o lowerdir=/etc,upperdir={upper},workdir={work} /etc"
    copy = f"cp {where.certificates}/tls.* {_METRICS}/"
    return ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-ec", f"{mount}; {copy}; {start}"]
