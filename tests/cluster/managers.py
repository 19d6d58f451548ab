"""Controllers of other projects as processes of this host, with the administrator's rights.

Programs, CRDs and webhooks come from the projects' own Go modules. The cluster reaches this host by
one address, so a webhook can be a process here.
"""

import base64
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import processes
from tests.cluster.certificates import make_authority
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.programs import build, catalog
from tests.cluster.programs.catalog import Program

HERE = "127.0.0.1"
START_S = 120.0
LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Manager:
    """A controller, running."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def memory_mib(self) -> float:
        """What it takes now."""
        return processes.memory_bytes([self.process.pid]) / 2**20

    def tail(self) -> str:
        """Its last words."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a controller runs: its folder, its certificate and its ports."""

    scratch: Path
    address: IPv4Address
    """Of this host, as the API server calls it."""

    authority_pem: bytes
    health: int = field(default_factory=lambda: free_port())
    webhook: int = field(default_factory=lambda: free_port())

    @property
    def certificates(self) -> Path:
        """`tls.crt` and `tls.key`, where a controller looks for them by itself."""
        return certificates_in(self.scratch)

    def write(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a file of YAML into the folder."""
        path = self.scratch / name
        path.write_text(yaml.safe_dump(dict(document)))
        return path


def program(wanted: Program, cache: Path) -> Path:
    """Where a controller's program lies.

    Raises:
        ClusterError: It is not built; says how to.
    """
    if build.missing([wanted], cache):
        raise ClusterError(f"not built: run `python -m tests.cluster build {wanted.name}`")
    return build.build([wanted], cache)[wanted.name]


def sources(wanted: Program, module: str, cache: Path) -> Path:
    """The folder of a Go module that a program is made from, as Go keeps it.

    Raises:
        ClusterError: Go cannot get it.
    """
    version = catalog.pinned(wanted.module, module)
    go = build.find_go(cache, build.go_minimum([wanted]))
    told = subprocess.run(
        [go.executable, "mod", "download", "-json", f"{module}@{version}"],
        cwd=wanted.module,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode != 0:
        raise ClusterError(f"Go does not find {module}: {told.stderr or told.stdout}")
    return Path(json.loads(told.stdout)["Dir"])


def place(cluster: Cluster, name: str) -> Place:
    """Make a controller's folder, with a certificate for a server on this host."""
    scratch = cluster.folder.path / "tmp" / name
    folder = certificates_in(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    authority = make_authority(folder)
    address = cluster.network.host_address
    authority.issue(folder, "tls", name, addresses=[address])
    return Place(scratch, address, (folder / "ca.crt").read_bytes())


def certificates_in(scratch: Path) -> Path:
    """Where a controller with this folder for temporary files looks for its certificate."""
    return scratch / "k8s-webhook-server" / "serving-certs"


@contextmanager
def process(
    cluster: Cluster,
    name: str,
    command: Sequence[str],
    where: Place,
    environment: Mapping[str, str] | None = None,
    ready: str = "",
) -> Generator[Manager]:
    """Run a controller while the block lasts, from the moment that it says that it is ready.

    Args:
        cluster: Whose folder has its log.
        name: Of the log.
        command: What is run.
        where: Its folder and ports.
        environment: Variables besides the bare necessities.
        ready: What answers 200 when it is; empty: /readyz at its port for health.

    Raises:
        ClusterError: It did not start; carries its last words.
    """
    log = cluster.folder.logs / f"{name}.log"
    scratch = str(where.scratch)
    own = {"PATH": os.defpath, "HOME": scratch, "TMPDIR": scratch, **(environment or {})}
    with log.open("wb") as output:
        started = subprocess.Popen(
            list(command), stdout=output, stderr=output, env=own, start_new_session=True
        )
    manager = Manager(started, log)
    try:
        until_s = time.monotonic() + START_S
        while not _is_well(ready or f"http://{HERE}:{where.health}/readyz"):
            if started.poll() is not None or time.monotonic() > until_s:
                raise ClusterError(f"{name} did not start:\n{manager.tail()}")
            time.sleep(0.2)
        yield manager
    finally:
        _stop(started)


@contextmanager
def kinds(cluster: Cluster, folder: Path, wait_for: Sequence[str]) -> Generator[None]:
    """The CRDs of a folder while the block lasts; all objects of these kinds go with them.

    Raises:
        ClusterError: One of `wait_for` is not established in time.
    """
    files = sorted(path for path in folder.glob("*.yaml") if path.stem != "kustomization")
    named = [f"--filename={path}" for path in files]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *named)
    try:
        for kind in wait_for:
            until_established(cluster, kind)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--timeout=240s", *named)


def until_established(cluster: Cluster, kind: str) -> None:
    """Wait until the API server serves a kind. `kubectl wait` fails where there is no status yet.

    Raises:
        ClusterError: It does not in time.
    """
    until_s = time.monotonic() + START_S
    while not _is_established(cluster, kind):
        if time.monotonic() > until_s:
            raise ClusterError(f"{kind} is not established")
        time.sleep(0.5)


@contextmanager
def webhooks(
    cluster: Cluster, name: str, manifests: Path, where: Place, *, groups: Sequence[str]
) -> Generator[None]:
    """Let the API server ask a process of this host while the block lasts.

    Args:
        cluster: Whose API server.
        name: Of the two objects.
        manifests: The project's webhooks, which name a Service.
        where: The process.
        groups: Only webhooks for objects of these API groups are wanted.
    """
    made = [
        _here(document, name, where, groups)
        for document in yaml.safe_load_all(manifests.read_text())
        if document and str(document["kind"]).endswith("WebhookConfiguration")
    ]
    cluster.apply(*made)
    try:
        yield
    finally:
        for one in made:
            cluster.kubectl("delete", one["kind"], name, "--ignore-not-found")


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HERE, 0))
        return listener.getsockname()[1]


def _here(
    document: dict[str, Any], name: str, where: Place, groups: Sequence[str]
) -> dict[str, Any]:
    bundle = base64.b64encode(where.authority_pem).decode()
    wanted: list[dict[str, Any]] = []
    for webhook in document["webhooks"]:
        if set(groups) & {group for rule in webhook["rules"] for group in rule["apiGroups"]}:
            path = webhook["clientConfig"]["service"]["path"]
            url = f"https://{where.address}:{where.webhook}{path}"
            wanted.append({**webhook, "clientConfig": {"url": url, "caBundle": bundle}})
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": {"name": name},
        "webhooks": wanted,
    }


def _is_established(cluster: Cluster, kind: str) -> bool:
    status = cluster.get("customresourcedefinition", kind).get("status") or {}
    found = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
    return found.get("Established") == "True"


def _is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _stop(started: subprocess.Popen[bytes]) -> None:
    started.terminate()
    try:
        started.wait(15)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
