"""A running cluster, and what one asks of it."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError
from tests.cluster.folder import Folder
from tests.cluster.network import Network

COMMAND_S = 300.0
"""Of one `kubectl` or `helm`, waits included, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: where it is and its command-line programs."""

    folder: Folder
    network: Network
    programs: dict[str, Path]

    @property
    def kubeconfig(self) -> Path:
        return self.folder.kubeconfig

    def kubectl(self, *arguments: str, input_text: str | None = None) -> str:
        """Run `kubectl` as the administrator; return what it prints.

        Raises:
            ClusterError: It failed; carries what it said.
        """
        return self._run("kubectl", *arguments, input_text=input_text)

    def helm(self, *arguments: str) -> str:
        """Run `helm` as the administrator, with settings of its own; return what it prints.

        Raises:
            ClusterError: It failed; carries what it said.
        """
        return self._run("helm", *arguments)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get` says, read."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects.

        Raises:
            ClusterError: One was refused; carries why.
        """
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "-f", "-", input_text=listed)

    def import_image(self, archive: Path) -> None:
        """Give the node an image that `image.pack`, or `docker save`, has written.

        Raises:
            ClusterError: containerd refused it.
        """
        self._ctr("images", "import", str(archive))

    def containerd_serves_pods(self) -> bool:
        """Whether containerd's part for the kubelet is up.

        Raises:
            ClusterError: containerd does not answer at all.
        """
        listed = self._ctr("plugins", "ls")
        return any(
            line.split()[1] == "cri" and line.split()[-1] == "ok"
            for line in listed.splitlines()
            if len(line.split()) > 2
        )

    def audit_events(self) -> list[dict[str, Any]]:
        """Every request of known users that the API server has answered so far, oldest first.

        Fields as in audit.k8s.io/v1: `verb`, `user.username`, `objectRef`, `responseStatus`. A pod
        that was deleted may still ask for something; its token is nobody's then.
        """
        lines = self.folder.audit_log.read_text().splitlines()
        # The last line may be half written.
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in events if "username" in event["user"]]

    def _ctr(self, *arguments: str) -> str:
        socket = str(self.folder.containerd_socket)
        return self._run("ctr", "--address", socket, "--namespace", "k8s.io", *arguments)

    def _run(self, program: str, *arguments: str, input_text: str | None = None) -> str:
        own = self.folder.path / "client"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(own),  # no cache, plug-ins or settings of the person at the keyboard
            "KUBECONFIG": str(self.kubeconfig),
        }
        done = subprocess.run(
            [self.programs[program], *arguments],
            input=input_text,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        if done.returncode != 0:
            raise ClusterError(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def of_folder(folder: Folder) -> Cluster:
    """Return the cluster that was started in a folder."""
    settings = json.loads(folder.settings.read_text())
    programs = {name: Path(path) for name, path in settings["programs"].items()}
    return Cluster(folder, folder.network(), programs)
