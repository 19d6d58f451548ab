"""KServe on a running cluster: its CRDs, its configuration, and its manager as a process here.

All of it comes from KServe's Go module. The manager runs without webhooks, so nothing defaults
or checks an InferenceService but its CRD and the manager itself. It has the administrator's
rights.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import managers
from tests.cluster.cluster import Cluster
from tests.cluster.managers import HERE, Manager, Place
from tests.cluster.programs import catalog

NAMESPACE = "kserve"
MODULE = "github.com/kserve/kserve"
RELEASE = "kserve-crd"
KIND = "inferenceservices.serving.kserve.io"
LEAVE_S = 120.0
"""How long InferenceServices may take to go, their pods not included."""


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install KServe, run its manager while the block lasts, and take both away.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    program = managers.program(catalog.KSERVE, cache)
    charts = managers.sources(catalog.KSERVE, MODULE, cache) / "charts"
    # It serves webhooks that nobody calls.
    where = managers.place(cluster, "kserve")
    try:
        _install(cluster, charts)
        command = _command(cluster, program, where)
        own = {"POD_NAMESPACE": NAMESPACE}
        with managers.process(cluster, "kserve-manager", command, where, own) as manager:
            try:
                yield manager
            finally:
                _remove_services(cluster)
    finally:
        cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")


def _install(cluster: Cluster, charts: Path) -> None:
    where = f"--namespace={NAMESPACE}"
    cluster.helm("install", RELEASE, str(charts / "kserve-crd"), where, "--create-namespace")
    managers.until_established(cluster, KIND)
    # Of its resources the manager itself reads one.
    rendered = cluster.helm(
        *("template", "kserve", str(charts / "kserve-resources"), where),
        *("--show-only", "templates/common/configmap.yaml"),
    )
    cluster.kubectl("apply", "--server-side", where, "-f", "-", input_text=rendered)


def _command(cluster: Cluster, program: Path, where: Place) -> list[str]:
    return [
        *(str(program), f"-kubeconfig={cluster.kubeconfig}", "-metrics-addr=0"),
        *(f"-health-probe-addr={HERE}:{where.health}", f"-webhook-port={where.webhook}"),
    ]


def _remove_services(cluster: Cluster) -> None:
    """InferenceServices have a finalizer: without the manager they would stay for ever."""
    limit = f"--timeout={LEAVE_S:.0f}s"
    cluster.kubectl("delete", KIND, "--all", "--all-namespaces", limit)
