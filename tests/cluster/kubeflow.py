"""Kubeflow Trainer on a running cluster: its CRDs, its controller as a process here, its webhooks.

It makes JobSets, so `jobset.running` must be around it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import managers
from tests.cluster.cluster import Cluster
from tests.cluster.managers import HERE, Manager
from tests.cluster.programs import catalog

MODULE = "github.com/kubeflow/trainer/v2"
GROUP = "trainer.kubeflow.org"
KINDS = [f"{plural}.{GROUP}" for plural in ("trainjobs", "trainingruntimes")]


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install Kubeflow Trainer, run its controller while the block lasts, and take both away.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    program = managers.program(catalog.TRAINER, cache)
    base = managers.sources(catalog.TRAINER, MODULE, cache) / "manifests" / "base"
    where = managers.place(cluster, "kubeflow")
    settings = {
        "apiVersion": "config.trainer.kubeflow.org/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "certManagement": {"enable": False},
        "metrics": {"bindAddress": "0"},
        "health": {
            "healthProbeBindAddress": f"{HERE}:{where.health}",
            "readinessEndpointName": "readyz",
            "livenessEndpointName": "healthz",
        },
        # Its certificate is where TMPDIR says.
        "webhook": {"host": str(where.address), "port": where.webhook},
    }
    path = where.write("trainer.yaml", settings)
    command = [str(program), f"--config={path}", f"--kubeconfig={cluster.kubeconfig}"]
    with (
        managers.kinds(cluster, base / "crds", KINDS),
        managers.process(cluster, "trainer-manager", command, where) as manager,
        managers.webhooks(
            cluster, "kubeflow", base / "webhook" / "manifests.yaml", where, groups=[GROUP]
        ),
    ):
        yield manager
