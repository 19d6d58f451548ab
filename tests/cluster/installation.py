"""The chart, installed on the test cluster with the values for machines without a GPU."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import zeroloop
from tests.cluster import checkout, images
from tests.cluster.cluster import Cluster
from tests.cluster.configuration import NODE
from zeroloop._switchboard import Switchboard
from zeroloop.client.channel import Access
from zeroloop.client.tls import Tls
from zeroloop.core.runs import Endpoints

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/zeroloop"
VALUES = ROOT / "deploy/values/cpu.yaml"
RELEASE = "zeroloop"
MODEL = "/app/models/seedling"
LEADER = "zeroloop.dev/leader"
SMALL = {
    "samples_per_group": "8",
    "rollouts": "4",
    "seed_batch_factor": "2",
    "evaluate.enabled": "false",
}
"""Settings of a run whose rounds take seconds."""

INFERENCE = {"replicas": 2, "keepAfterRun": True}
TWO_RANKS = {"nodes": 2}
INSTALL_S = 240
PLAYED_S = 900
"""Three rounds with two replicas and two ranks, on two busy cores."""


RELEASES = Path(__file__).with_name("releases")
"""Charts that were released, as they were, and their values for machines without a GPU."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A version of the chart, with values that go with it."""

    path: Path = CHART
    values: Path = VALUES


CURRENT = Chart()
FIRST_RELEASE = Chart(RELEASES / "zeroloop-0.1.0.tgz", RELEASES / "cpu-0.1.0.yaml")


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart in a namespace of its own."""

    cluster: Cluster
    namespace: str
    folder: Path
    """Where its volumes and values lie."""

    def kubectl(self, *arguments: str, input_text: str | None = None) -> str:
        """Run `kubectl` in the namespace; return what it prints."""
        where = f"--namespace={self.namespace}"
        return self.cluster.kubectl(where, *arguments, input_text=input_text)

    def helm(self, *arguments: str) -> str:
        """Run `helm` in the namespace; return what it prints."""
        return self.cluster.helm(*arguments, f"--namespace={self.namespace}")

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get` says, read."""
        return self.cluster.get(f"--namespace={self.namespace}", *arguments)

    def put(
        self,
        *,
        upgrade: bool = False,
        chart: Chart = CURRENT,
        take_ownership: bool = True,
        **values: Any,
    ) -> str:
        """Install or upgrade the release; returns helm's notes.

        Args:
            upgrade: There is one already.
            chart: Which version.
            take_ownership: Of what another release has made, such as the CRD that an earlier one
                of the same cluster has left.
            values: Of the chart, over those of a machine without a GPU.
        """
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        verb = ("upgrade",) if upgrade else ("install",)
        return self.helm(
            *verb,
            RELEASE,
            str(chart.path),
            *("--values", str(chart.values), "--values", str(self.folder / "test-values.yaml")),
            *("--values", str(path), "--wait", f"--timeout={INSTALL_S}s"),
            *(("--take-ownership",) if take_ownership else ()),
        )

    def create_run(self, name: str, rounds: int, **spec: Any) -> None:
        """Apply a SelfPlayRun of the seedling."""
        wanted = {"model": {"uri": MODEL}, "preset": "seedling", "rounds": rounds, **spec}
        self.cluster.apply(
            {
                "apiVersion": "zeroloop.dev/v1alpha1",
                "kind": "SelfPlayRun",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": wanted,
            }
        )

    def status(self, run: str) -> dict[str, Any]:
        """A run's status as it stands."""
        return self.get("selfplayrun", run).get("status") or {}

    def wait_for(
        self, run: str, true: Callable[[Mapping[str, Any]], bool], limit_s: float = PLAYED_S
    ) -> dict[str, Any]:
        """Wait until a run's status is as wanted; return it.

        Raises:
            AssertionError: It is not in time, or the run failed; carries what is known of it.
        """
        until_s = time.monotonic() + limit_s
        while True:
            status = self.status(run)
            if true(status):
                return status
            failed = status.get("phase") == "Failed"
            if failed or time.monotonic() > until_s:
                raise AssertionError(f"{json.dumps(status, indent=1)}\n{self.account()}")
            time.sleep(0.5)

    def address_of(self, component: str) -> str:
        """gRPC target of one ready pod of a component; pods are reachable from the host."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        for pod in self.get("pods", selector)["items"]:
            if component == "controller" and LEADER not in pod["metadata"]["labels"]:
                continue
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
            if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                return f"{pod['status']['podIP']}:50051"
        raise AssertionError(f"no pod of {component} is ready\n{self.account()}")

    def client(
        self, component: str = "controller", *, token: str = "", access: Access | None = None
    ) -> zeroloop.aio.Client:
        """A client of one ready pod, by its address, as another service would be."""
        shown = access or Access(token or self.secret("token", "token").decode(), self.tls())
        target = self.address_of(component)
        if component == "controller":
            return zeroloop.aio.Client(Switchboard(shown, controller=target))
        return zeroloop.aio.Client(Switchboard(shown, endpoints=Endpoints(**{component: target})))

    def tls(self) -> Tls:
        """What services show each other and check each other with."""
        folder = self.folder / "tls"
        folder.mkdir(exist_ok=True)
        for name in ("ca.crt", "tls.crt", "tls.key"):
            (folder / name).write_bytes(self.secret("tls", name))
        names = f"{RELEASE}-controller.{self.namespace}.svc"
        return Tls(folder / "ca.crt", folder / "tls.crt", folder / "tls.key", names)

    def secret(self, name: str, key: str) -> bytes:
        """One value of a Secret of the release."""
        return base64.b64decode(self.get("secret", f"{RELEASE}-{name}")["data"][key])

    def leader(self) -> str:
        """The pod of the controller that leads."""
        found = self.get("pods", "--selector=zeroloop.dev/leader=true")["items"]
        living = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        assert len(living) == 1, [pod["metadata"]["name"] for pod in living]
        return living[0]["metadata"]["name"]

    def kill(self, pod: str) -> None:
        """End a pod without warning."""
        self.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def pod_of(self, component: str, run: str = "") -> str:
        """The first running pod of a component, or of a run's."""
        selector = f"app.kubernetes.io/component={component}"
        selector += f",zeroloop.dev/run={run}" if run else ""
        found = self.get("pods", f"--selector={selector}", "--field-selector=status.phase=Running")
        return found["items"][0]["metadata"]["name"]

    def account(self) -> str:
        """What a person would look at first."""
        found = [
            self.kubectl("get", "pods,jobs,deployments,selfplayruns", "--output=wide"),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp"),
        ]
        for component in ("controller", "inference", "trainer"):
            selector = f"--selector=app.kubernetes.io/component={component}"
            found.append(self.kubectl("logs", selector, "--tail=30", "--prefix"))
        return "\n".join(found)


def until(true: Callable[[], bool], limit_s: float = 90) -> None:
    """Wait until something is true, for a bounded time."""
    deadline_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.5)


def prepare(cluster: Cluster, cache: Path, folder: Path, namespace: str = "") -> Installation:
    """Make a namespace, and in it all that a cluster with storage would have."""
    namespace = namespace or f"zeroloop-{secrets.token_hex(3)}"
    made = Installation(cluster, namespace, folder)
    archives = images.built(cache)
    images.give(cluster, archives)
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": labels},
        },
        *checkout.objects(namespace),
    )
    for claim, size in (("zeroloop-runs", "5Gi"), ("data-zeroloop-postgresql-0", "2Gi")):
        cluster.apply(_volume(namespace, claim, size, folder))
    (folder / "test-values.yaml").write_text(yaml.safe_dump(_values(archives)))
    return made


def _values(archives: Mapping[str, Path]) -> dict[str, Any]:
    values = images.chart_values(archives)
    for section in ("inference", "training"):
        values[section] = {
            "extraVolumes": [checkout.volume()],
            "extraVolumeMounts": [checkout.mount()],
        }
    return values


def _volume(namespace: str, claim: str, size: str, folder: Path) -> dict[str, Any]:
    """A volume that waits for a claim of the chart. A `local` one is chowned for its pods."""
    path = folder / claim
    path.mkdir(mode=0o770, exist_ok=True)
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "capacity": {"storage": size},
            "claimRef": {"namespace": namespace, "name": claim},
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
