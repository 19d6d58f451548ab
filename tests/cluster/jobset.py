"""JobSet on a running cluster: its CRD, its controller as a process here, and its webhooks."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import managers
from tests.cluster.cluster import Cluster
from tests.cluster.managers import HERE, Manager
from tests.cluster.programs import catalog

MODULE = "sigs.k8s.io/jobset"
GROUP = "jobset.x-k8s.io"
KIND = f"jobsets.{GROUP}"


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install JobSet, run its controller while the block lasts, and take both away.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    program = managers.program(catalog.JOBSET, cache)
    components = managers.sources(catalog.JOBSET, MODULE, cache) / "config" / "components"
    where = managers.place(cluster, "jobset")
    settings = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"{HERE}:{where.health}"},
        "webhook": {
            "host": str(where.address),
            "port": where.webhook,
            "certDir": str(where.certificates),
        },
    }
    path = where.write("jobset.yaml", settings)
    command = [str(program), f"--config={path}", f"--kubeconfig={cluster.kubeconfig}"]
    with (
        managers.kinds(cluster, components / "crd" / "bases", [KIND]),
        managers.process(cluster, "jobset-manager", command, where) as manager,
        # Those for pods are for exclusive placement, which nobody asks for.
        managers.webhooks(
            cluster, "jobset", components / "webhook" / "manifests.yaml", where, groups=[GROUP]
        ),
    ):
        yield manager
