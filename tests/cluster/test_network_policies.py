"""The chart's NetworkPolicies, enforced by Calico: real connections from pods of every component.

Controller, buffer, reward, execution and PostgreSQL are real. Pods of engines, trainers and Jobs
come and go, so their place is taken by ones that listen under the labels that the chart gives them.
"""

import socket
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.chart import rendering
from tests.chart.test_network import ALL, DNS, GRAPH, GRPC, HEALTH, METRICS, OUTSIDE, SERVERS
from tests.cluster import calico, images, installation, neighbours, reach
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache, new_folder, started
from tests.cluster.errors import ClusterError
from tests.cluster.installation import RELEASE, Installation, until
from tests.cluster.network import API_PORT
from tests.cluster.programs import catalog
from tests.cluster.reach import Addresses, Caller, Place

pytestmark = pytest.mark.timeout(900)

SOON_S = 20.0
"""For a policy to reach the packet filters, on a busy machine."""

COMPONENT = "app.kubernetes.io/component"
POSTGRESQL = 5432
ANY = 29500
"""A port of a trainer's that nothing names: ranks talk at ports of their choice."""

STAND_INS = {
    "inference": "inference",
    "trainer": "trainer",
    "trainer-1": "trainer",
    "migrations": "migrations",
    "test": "test",
    "new": "new",
}
"""Pods that only listen, and their components. The last is one that no policy knows."""

PODS = sorted({*OUTSIDE, *STAND_INS})

PORTS = {
    **dict.fromkeys(SERVERS, (GRPC, HEALTH, METRICS)),
    "trainer": (METRICS, ANY),
    "postgresql": (POSTGRESQL,),
    "migrations": (GRPC,),
    "test": (GRPC,),
    "new": (GRPC,),
}
"""Where the pods of a component listen."""

OTHERS = {
    "client": {Place("controller", GRPC)},
    "prometheus": {Place(name, METRICS) for name, ports in PORTS.items() if METRICS in ports},
    "impostor": set[Place](),
    "bystander": set[Place](),
}
"""Pods that are not of the release, and what they may call in it. The first two have a namespace
that the values name, the third the controller's labels in another namespace, the last the release's
namespace without its labels."""

OUTSIDE_PORTS = (53, 443, 8443)
"""Of a server beyond the node, which stands for the internet."""

NAMES = {Place("names", 53, "UDP"), Place("names", 53)}
API = {Place("api", 443), Place("api itself", API_PORT)}
BEYOND = {"internet", *(place.name for place in NAMES | API)}


@dataclass(frozen=True, slots=True)
class Land:
    """A release under its policies, with everybody who might call."""

    installed: Installation
    callers: dict[str, Caller]
    places: dict[str, Addresses]
    """Where each of them listens; and what is outside of the release."""

    def reached(self, caller: str) -> set[Place]:
        """What a pod reaches now, of all that is not itself."""
        theirs = [places for name, places in self.places.items() if name != caller]
        every = {place: address for places in theirs for place, address in places.items()}
        return reach.reached(self.installed.cluster, self.callers[caller], every)

    def all_but(self, caller: str) -> set[Place]:
        return {place for name, places in self.places.items() if name != caller for place in places}

    @property
    def inside(self) -> Addresses:
        """All places of the release."""
        found = [places for name, places in self.places.items() if name != "outside"]
        return {place: address for places in found for place, address in places.items()}


def component(name: str) -> str:
    """The component that a pod is of, or claims to be of."""
    return STAND_INS.get(name, name)


def declared(caller: str, place: Place) -> bool:
    """Whether the service graph has a pod of the release call that place."""
    if place.name in BEYOND:
        # Names are asked for where the cluster's DNS is and nowhere else.
        known = place.entry not in DNS or place in NAMES
        return known and place.entry in OUTSIDE.get(component(caller), ())
    ends = component(caller), component(place.name)
    return bool({(*ends, place.port), (*ends, ALL)} & GRAPH)


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Generator[Cluster]:
    """A cluster of its own, whose node keeps Calico's packet filters until its end."""
    neighbours.require(*catalog.CALICO)
    with started(request, new_folder()) as running, calico.running(running, cache()):
        yield running


@pytest.fixture(scope="module")
def land(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Land]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    made.put(**values(cluster))
    with ExitStack() as stack:
        outside = stand_outside(cluster, stack)
        yield Land(made, *settled(made, outside))


def values(cluster: Cluster) -> dict[str, Any]:
    """Everybody who may call from outside of the release is named."""
    node = {"ipBlock": {"cidr": f"{cluster.network.node_address}/32"}}
    return {
        "networkPolicy": {
            "clients": [of_namespace("client")],
            # Here it is a process of the node and no pod.
            "dns": [of_namespace("kube-system"), node],
            "nodes": [node],
        },
        "metrics": {"peers": [of_namespace("prometheus")]},
    }


def of_namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def stand_outside(cluster: Cluster, stack: ExitStack) -> Addresses:
    """Listen beyond the node; return all that is outside of the release."""
    network = cluster.network
    for port in OUTSIDE_PORTS:
        address = str(network.host_address), port
        stack.enter_context(socket.create_server(address, backlog=1024))
    return {
        **{Place("internet", port): str(network.host_address) for port in OUTSIDE_PORTS},
        **dict.fromkeys(NAMES, str(network.dns_address)),
        Place("api", 443): str(network.api_address),
        Place("api itself", API_PORT): str(network.node_address),
    }


def settled(
    installed: Installation, outside: Addresses
) -> tuple[dict[str, Caller], dict[str, Addresses]]:
    """Start whoever is missing; return who calls and where they listen."""
    cluster = installed.cluster
    image = images.references()["services"]
    told = installed.helm("get", "manifest", RELEASE) + installed.helm("get", "hooks", RELEASE)
    labels = {pod.component: pod.labels for pod in rendering.read(told).pods()}
    namespaces = dict.fromkeys(STAND_INS, installed.namespace)
    namespaces |= {name: name for name in OTHERS} | {"bystander": installed.namespace}
    for name in OTHERS.keys() - {"bystander"}:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for name, namespace in namespaces.items():
        until(lambda where=namespace: has_account(cluster, where))
        ports = PORTS.get(component(name), ())
        pod = reach.listener(name, image, ports, labels_of(name, labels))
        cluster.apply({**pod, "metadata": {**pod["metadata"], "namespace": namespace}})
    for name, namespace in namespaces.items():
        cluster.kubectl("wait", "--for=condition=Ready", f"--namespace={namespace}", f"pod/{name}")
    real = PORTS.keys() - set(STAND_INS.values())
    callers = {name: Caller(namespace, name) for name, namespace in namespaces.items()}
    callers |= {name: Caller(installed.namespace, installed.pod_of(name)) for name in real}
    listeners = [name for name in callers if name not in OTHERS]
    return callers, {
        **{name: places_of(name, address_of(cluster, callers[name])) for name in listeners},
        "outside": outside,
    }


def labels_of(name: str, rendered: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """The labels of a pod that only listens, by those that the chart gives to components."""
    if name == "new":
        return {**rendered["controller"], COMPONENT: name}
    if name == "impostor":
        return rendered["controller"]
    return {} if name in OTHERS else rendered[component(name)]


def has_account(cluster: Cluster, namespace: str) -> bool:
    """Pods are refused until their namespace has it."""
    try:
        cluster.get(f"--namespace={namespace}", "serviceaccount", "default")
    except ClusterError:
        return False
    return True


def address_of(cluster: Cluster, caller: Caller) -> str:
    pod = cluster.get(f"--namespace={caller.namespace}", "pod", caller.pod)
    return pod["status"]["podIP"]


def places_of(name: str, address: str) -> Addresses:
    return {Place(name, port): address for port in PORTS[component(name)]}


@contextmanager
def without(installed: Installation, *policies: str) -> Generator[None]:
    """Those policies are gone while the block lasts."""
    kept = [installed.get("networkpolicy", name) for name in policies]
    installed.kubectl("delete", "networkpolicy", *policies)
    try:
        yield
    finally:
        for policy in kept:
            known = {key: policy["metadata"][key] for key in ("name", "namespace", "labels")}
            installed.cluster.apply({**policy, "metadata": known})


def settle(look: Callable[[], set[Place]], expected: Iterable[Place]) -> None:
    """Wait until a look shows what is expected; else say where it does not.

    Policies take a moment to reach the packet filters.
    """
    wanted = set(expected)
    found: set[Place] = set()

    def as_expected() -> bool:
        nonlocal found
        found = look()
        return found == wanted

    try:
        until(as_expected, SOON_S)
    except AssertionError:
        shut, open_ = (
            ", ".join(map(str, sorted(some))) for some in (wanted - found, found - wanted)
        )
        raise AssertionError(f"shut: {shut or 'none'}; open in vain: {open_ or 'none'}") from None


@pytest.mark.parametrize("caller", PODS)
def test_a_pod_reaches_whom_it_calls_and_nobody_else(land: Land, caller: str) -> None:
    expected = [place for place in land.all_but(caller) if declared(caller, place)]

    settle(lambda: land.reached(caller), expected)


@pytest.mark.parametrize("caller", OTHERS)
def test_a_pod_of_others_reaches_what_it_is_named_for(land: Land, caller: str) -> None:
    cluster, who = land.installed.cluster, land.callers[caller]
    expected = {
        place for place in land.inside if Place(component(place.name), place.port) in OTHERS[caller]
    }

    settle(lambda: reach.reached(cluster, who, land.inside), expected)


def test_whoever_is_no_pod_reaches_nothing(land: Land) -> None:
    settle(lambda: reach.reached_from_here(land.inside), ())


def test_the_default_is_what_keeps_a_component_without_a_policy_shut(land: Land) -> None:
    outside = land.places["outside"]
    settle(lambda: land.reached("new"), ())

    with without(land.installed, f"{RELEASE}-default-deny"):
        settle(lambda: land.reached("new"), outside)


def test_without_policies_everything_is_open(land: Land) -> None:
    """So what was found shut was shut by them."""
    names = [item["metadata"]["name"] for item in land.installed.get("networkpolicy")["items"]]
    with without(land.installed, *names):
        for caller in (*PODS, *OTHERS):
            settle(lambda who=caller: land.reached(who), land.all_but(caller))
        settle(lambda: reach.reached_from_here(land.inside), land.inside)
