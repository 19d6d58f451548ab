"""cert-manager on a running cluster: its CRDs, and its controllers as a process here.

Its webhook and its cainjector are left out: neither is a program that Go can get without their
repository, and no certificate needs them. The webhook refuses wrong objects before the controllers
would and notes who asked for a certificate, which only matters to those who approve requests by
hand; the cainjector hands authorities to webhooks.
"""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import managers
from tests.cluster.cluster import Cluster
from tests.cluster.managers import HERE, Manager
from tests.cluster.programs import catalog

MODULE = "github.com/cert-manager/cert-manager"
GROUP = "cert-manager.io"
VERSION = f"{GROUP}/v1"
NAMESPACE = "cert-manager"
KINDS = [
    f"{plural}.{GROUP}"
    for plural in ("certificates", "certificaterequests", "issuers", "clusterissuers")
]


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install cert-manager, run it while the block lasts, and take it away.

    Secrets that it has written stay, as they do when a person removes it.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    program = managers.program(catalog.CERT_MANAGER, cache)
    crds = managers.sources(catalog.CERT_MANAGER, MODULE, cache) / "deploy" / "crds"
    where = managers.place(cluster, "cert-manager")
    command = [
        str(program),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--health={HERE}:{where.health}",
        f"--cluster-resource-namespace={NAMESPACE}",
    ]
    with (
        managers.kinds(cluster, crds, KINDS),
        managers.process(cluster, "cert-manager", command, where) as manager,
    ):
        yield manager


def authority(name: str, namespace: str) -> list[dict[str, Any]]:
    """An Issuer whose authority signs itself, and what it needs."""
    meta = {"name": name, "namespace": namespace}
    to_sign = {"name": f"{name}-self", "namespace": namespace}
    return [
        {"apiVersion": VERSION, "kind": "Issuer", "metadata": to_sign, "spec": {"selfSigned": {}}},
        {
            "apiVersion": VERSION,
            "kind": "Certificate",
            "metadata": meta,
            "spec": {
                "isCA": True,
                "commonName": name,
                "secretName": name,
                "issuerRef": {"name": to_sign["name"], "kind": "Issuer"},
            },
        },
        {
            "apiVersion": VERSION,
            "kind": "Issuer",
            "metadata": meta,
            "spec": {"ca": {"secretName": name}},
        },
    ]


def renew(cluster: Cluster, namespace: str, name: str) -> None:
    """Have a Certificate issued again now, as `cmctl renew` does."""
    found = cluster.get(f"--namespace={namespace}", "certificate", name)
    conditions = [c for c in found["status"]["conditions"] if c["type"] != "Issuing"]
    asked = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "a test wants another one",
        "observedGeneration": found["metadata"]["generation"],
        "lastTransitionTime": found["metadata"]["creationTimestamp"],
    }
    patch = {"status": {"conditions": [*conditions, asked]}}
    cluster.kubectl(
        *("patch", "certificate", name, f"--namespace={namespace}"),
        *("--subresource=status", "--type=merge", f"--patch={json.dumps(patch)}"),
    )
