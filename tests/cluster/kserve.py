"""KServe on a running cluster: its CRDs, its configuration, and its manager as a process here.

All of it comes from KServe's Go module. The manager runs without webhooks, so nothing defaults
or checks an InferenceService but its CRD and the manager itself. It has the administrator's
rights.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import processes
from tests.cluster.certificates import make_authority
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.programs import build, catalog

NAMESPACE = "kserve"
MODULE = "github.com/kserve/kserve"
RELEASE = "kserve-crd"
KIND = "inferenceservices.serving.kserve.io"
START_S = 120.0
LEAVE_S = 120.0
"""How long InferenceServices may take to go, their pods not included."""

LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Manager:
    """KServe's controller, running."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def memory_mib(self) -> float:
        """What it takes now."""
        return processes.memory_bytes([self.process.pid]) / 2**20

    def tail(self) -> str:
        """Its last words."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


@contextmanager
def running(cluster: Cluster, cache: Path) -> Generator[Manager]:
    """Install KServe, run its manager while the block lasts, and take both away.

    Raises:
        ClusterError: Its program is not built, or it did not start; says why.
    """
    if build.missing([catalog.KSERVE], cache):
        raise ClusterError("not built: run `python -m tests.cluster build kserve-manager`")
    program = build.build([catalog.KSERVE], cache)[catalog.KSERVE.name]
    charts = _module(cache) / "charts"
    try:
        _install(cluster, charts)
        manager = _start(cluster, program)
        try:
            yield manager
        finally:
            try:
                _remove_services(cluster)
            finally:
                _stop(manager)
    finally:
        cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")


def _module(cache: Path) -> Path:
    """The folder of KServe's module as Go keeps it."""
    version = catalog.pinned(catalog.KSERVE.module, MODULE)
    go = build.find_go(cache, build.go_minimum([catalog.KSERVE]))
    told = subprocess.run(
        [go.executable, "mod", "download", "-json", f"{MODULE}@{version}"],
        cwd=catalog.KSERVE.module,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode != 0:
        raise ClusterError(f"Go does not find {MODULE}: {told.stderr or told.stdout}")
    return Path(json.loads(told.stdout)["Dir"])


def _install(cluster: Cluster, charts: Path) -> None:
    where = f"--namespace={NAMESPACE}"
    cluster.helm("install", RELEASE, str(charts / "kserve-crd"), where, "--create-namespace")
    # Not `kubectl wait`, which fails where a new CRD has no status yet.
    until_s = time.monotonic() + START_S
    while not _is_established(cluster):
        if time.monotonic() > until_s:
            raise ClusterError(f"{KIND} is not established")
        time.sleep(0.5)
    # Of its resources the manager itself reads one.
    rendered = cluster.helm(
        *("template", "kserve", str(charts / "kserve-resources"), where),
        *("--show-only", "templates/common/configmap.yaml"),
    )
    cluster.kubectl("apply", "--server-side", where, "-f", "-", input_text=rendered)


def _is_established(cluster: Cluster) -> bool:
    status = cluster.get("customresourcedefinition", KIND).get("status") or {}
    found = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
    return found.get("Established") == "True"


def _start(cluster: Cluster, program: Path) -> Manager:
    scratch = cluster.folder.path / "tmp" / "kserve"
    # Where the manager looks for the certificate of the webhooks that nobody calls.
    certificates = scratch / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True, exist_ok=True)
    authority = make_authority(certificates)
    authority.issue(certificates, "tls", "kserve-webhook", names=["localhost"])
    health, webhook = _free_port(), _free_port()
    log = cluster.folder.logs / "kserve-manager.log"
    environment = {
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "POD_NAMESPACE": NAMESPACE,
    }
    command = [
        *(str(program), f"-kubeconfig={cluster.kubeconfig}", "-metrics-addr=0"),
        *(f"-health-probe-addr=127.0.0.1:{health}", f"-webhook-port={webhook}"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    manager = Manager(process, log)
    until_s = time.monotonic() + START_S
    while not _is_well(health):
        if process.poll() is not None or time.monotonic() > until_s:
            _stop(manager)
            raise ClusterError(f"KServe's manager did not start:\n{manager.tail()}")
        time.sleep(0.2)
    return manager


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _remove_services(cluster: Cluster) -> None:
    """InferenceServices have a finalizer: without the manager they would stay for ever."""
    limit = f"--timeout={LEAVE_S:.0f}s"
    cluster.kubectl("delete", KIND, "--all", "--all-namespaces", limit)


def _stop(manager: Manager) -> None:
    manager.process.terminate()
    try:
        manager.process.wait(15)
    except subprocess.TimeoutExpired:
        manager.process.kill()
        manager.process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
