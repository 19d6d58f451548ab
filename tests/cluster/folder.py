"""The one folder of a cluster: everything that it writes is below it."""

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.network import Network

SOCKET_PATH_BYTES_MAX = 107
"""Of Linux."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Names of what is in a cluster's folder. Only `cgroup` and `network` look at the disk."""

    path: Path

    @property
    def mark(self) -> Path:
        """Says that the folder is a cluster's: only then is anything in it ever deleted."""
        return self.path / "ZEROLOOP-CLUSTER"

    @property
    def settings(self) -> Path:
        """What the cluster was started with; written before anything else is made."""
        return self.path / "cluster.json"

    @property
    def process(self) -> Path:
        """The node's first process, seen from the host: its id and start time."""
        return self.path / "node.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.kubeconfig_of("admin")

    @property
    def logs(self) -> Path:
        """One file per program, and those of pods below `pods`."""
        return self.path / "logs"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line: who asked the API server for what."""
        return self.logs / "audit.log"

    @property
    def certificates(self) -> Path:
        """The authority, and a certificate and key per component."""
        return self.path / "certificates"

    @property
    def containerd_socket(self) -> Path:
        return self.path / "containerd.sock"

    @property
    def cni(self) -> Path:
        """How pods get their network: what its first file by name says."""
        return self.path / "cni"

    @property
    def cni_plugins(self) -> Path:
        """Programs that make networks of pods, besides the host's."""
        return self.path / "cni-plugins"

    @property
    def owner(self) -> str:
        """What marks an interface as this cluster's."""
        return f"zeroloop cluster {self.path}"

    def kubeconfig_of(self, user: str) -> Path:
        return self.path / "kubeconfigs" / user

    def cgroup(self) -> str:
        """Name of the control group of all its pods, in every hierarchy."""
        return json.loads(self.settings.read_text())["cgroup"]

    def network(self) -> Network:
        """The network that the cluster was started with."""
        return Network(IPv4Network(json.loads(self.settings.read_text())["block"]))

    def make(self) -> None:
        """Create it with the folders that programs expect, readable by its owner alone.

        Raises:
            ClusterError: The path is too long for the sockets in it.
        """
        if len(bytes(self.containerd_socket)) + len(".ttrpc") > SOCKET_PATH_BYTES_MAX:
            raise ClusterError(f"{self.path} is too long for a socket; give a shorter --folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.mark.write_text("Made by `python -m tests.cluster`; its `down` removes it.\n")
        for name in ("certificates", "cni", "cni-plugins", "kubeconfigs", "logs/pods", "tmp"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
