"""The NetworkPolicies allow the calls of the service graph and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.chart.matrix import CASES
from tests.chart.rendering import Pod, Release, render

ALL = "all ports"
GRPC = 50051
HEALTH = 50052
SERVERS = {"controller", "buffer", "reward", "execution", "inference"}
METRICS = 9464

GRAPH = {
    ("test", "controller", GRPC),
    ("controller", "inference", GRPC),
    ("controller", "reward", GRPC),
    ("controller", "buffer", GRPC),
    ("controller", "execution", GRPC),
    ("reward", "execution", GRPC),
    ("trainer", "buffer", GRPC),
    ("trainer", "trainer", ALL),
    ("buffer", "postgresql", 5432),
    ("migrations", "postgresql", 5432),
}
"""Who calls whom. Whoever adds a call says so here and in templates/policies/_graph.tpl."""

DNS = {"53/UDP", "53/TCP"}

OUTSIDE = {
    "controller": {*DNS, "443/TCP", "6443/TCP"},
    "buffer": DNS,
    "reward": DNS,
    "execution": set(),
    "postgresql": set(),
    "inference": DNS,
    "trainer": DNS,
    "migrations": DNS,
    "test": DNS,
}
"""What each component may call outside of the release: names, and for one the API server."""

ON = [name for name in CASES if name != "no policies"]

Rule = Mapping[str, Any]


def matches(selector: Mapping[str, Any], pod: Pod) -> bool:
    return selector.get("matchLabels", {}).items() <= pod.labels.items()


def rules(release: Release, pod: Pod, direction: str) -> list[Rule]:
    """The rules of all policies that select a pod; it has at least one, or all is allowed."""
    mine = [
        item["spec"]
        for item in release.of("NetworkPolicy")
        if matches(item["spec"]["podSelector"], pod)
    ]
    assert any(direction.capitalize() in spec["policyTypes"] for spec in mine)
    return [rule for spec in mine for rule in spec.get(direction, [])]


def ports(rule: Rule) -> set[Any]:
    return {port["port"] for port in rule.get("ports", [])} or {ALL}


def inside(found: Sequence[Rule], end: str, pod: Pod) -> set[Any]:
    """Ports on which rules let a pod of the release through because it is that pod."""
    return {
        port
        for rule in found
        for peer in rule.get(end, [])
        if "namespaceSelector" not in peer
        and "ipBlock" not in peer
        and matches(peer["podSelector"], pod)
        for port in ports(rule)
    }


def edges(release: Release) -> Iterator[tuple[str, str, Any]]:
    pods = release.pods()
    for caller in pods:
        out = rules(release, caller, "egress")
        for called in pods:
            allowed = inside(out, "to", called)
            open_to = inside(rules(release, called, "ingress"), "from", caller)
            for port in allowed | open_to:
                assert {port, ALL} & allowed, f"{called.where} is open to {caller.where} in vain"
                assert {port, ALL} & open_to, f"{caller.where} may call {called.where} in vain"
                yield caller.component, called.component, port


@pytest.mark.parametrize("case", ON)
def test_edges_are_those_of_the_service_graph(case: str) -> None:
    release = render(*CASES[case])
    there = release.components()

    assert set(edges(release)) == {(a, b, port) for a, b, port in GRAPH if {a, b} <= there}


@pytest.mark.parametrize("case", ON)
def test_every_pod_is_shut_by_default(case: str) -> None:
    release = render(*CASES[case])
    shut = release.one("NetworkPolicy", "default-deny")["spec"]

    assert shut["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in shut
    assert "egress" not in shut
    assert all(matches(shut["podSelector"], pod) for pod in release.pods())


def leaving(release: Release, component: str) -> set[str]:
    """Ports on which a component may call what is not of this release."""
    found = rules(release, release.pod(component), "egress")
    return {
        f"{port['port']}/{port['protocol']}"
        for rule in found
        if not all("podSelector" in peer and len(peer) == 1 for peer in rule.get("to", [{}]))
        for port in rule.get("ports", [{"port": ALL, "protocol": ""}])
    }


def entering(release: Release, component: str) -> set[Any]:
    """Ports on which anything but the release's own pods may call a component."""
    found = rules(release, release.pod(component), "ingress")
    return {
        port
        for rule in found
        if not all("podSelector" in peer and len(peer) == 1 for peer in rule.get("from", [{}]))
        for port in ports(rule)
    }


@pytest.mark.parametrize("component", OUTSIDE)
def test_what_may_be_called_outside(component: str) -> None:
    assert leaving(render(), component) == OUTSIDE[component]


@pytest.mark.parametrize("component", OUTSIDE)
def test_only_the_controller_is_open_to_others_and_whoever_is_scraped(component: str) -> None:
    scraped = set() if component in ("postgresql", "migrations", "test") else {METRICS}
    health = {HEALTH} & ({HEALTH} if component in SERVERS else set())

    assert entering(render(), component) - scraped - health == (
        {GRPC} if component == "controller" else set()
    )
    assert scraped <= entering(render(), component)


def test_whoever_may_scrape_can_be_named() -> None:
    labels = "namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring"
    release = render(f"--set=metrics.peers[0].{labels}")
    for component in ("controller", "execution", "trainer"):
        found = rules(release, release.pod(component), "ingress")
        (rule,) = [rule for rule in found if METRICS in ports(rule)]
        (peer,) = rule["from"]
        assert set(peer) == {"namespaceSelector"}
    assert set(edges(release)) == GRAPH


@pytest.mark.parametrize("component", OUTSIDE)
def test_telemetry_goes_to_the_collector_s_port(component: str) -> None:
    release = render("--set=tracing.otlpEndpoint=http://collector:14317")
    silent = component in ("execution", "postgresql")

    assert leaving(release, component) - OUTSIDE[component] == (set() if silent else {"14317/TCP"})


def test_a_collector_without_a_port_is_at_the_usual_one() -> None:
    release = render("--set=tracing.otlpEndpoint=http://collector/")

    assert "4317/TCP" in leaving(release, "reward")


@pytest.mark.parametrize("component", ["buffer", "migrations"])
def test_an_external_database_may_be_called(component: str) -> None:
    release = render(*CASES["no database"], "--set=database.port=6432")

    assert leaving(release, component) - DNS == {"6432/TCP"}


@pytest.mark.parametrize("component", ["inference", "trainer"])
def test_models_are_fetched_only_on_request(component: str) -> None:
    release = render("--set=networkPolicy.modelHub.enabled=true")

    assert leaving(release, component) - DNS == {"443/TCP"}


def test_clients_can_be_named() -> None:
    labels = "namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=research"
    release = render(f"--set=networkPolicy.clients[0].{labels}")
    found = rules(release, release.pod("controller"), "ingress")
    open_to = [peer for rule in found for peer in rule.get("from", [])]

    assert {"namespaceSelector"} in [set(peer) for peer in open_to]
    assert set(edges(release)) == GRAPH


def test_own_rules_are_added() -> None:
    release = render("--set=reward.extraIngress[0].ports[0].port=50051")

    assert entering(release, "reward") == {GRPC, HEALTH, METRICS}


@pytest.mark.parametrize("component", sorted(SERVERS))
def test_kubelets_may_ask_for_health_and_can_be_named(component: str) -> None:
    named = render("--set=networkPolicy.nodes[0].ipBlock.cidr=10.0.0.0/24")
    (rule,) = [r for r in rules(named, named.pod(component), "ingress") if HEALTH in ports(r)]

    assert HEALTH in entering(render(), component)
    assert rule["from"] == [{"ipBlock": {"cidr": "10.0.0.0/24"}}]


def test_whoever_asks_the_api_server_about_callers_may_reach_it() -> None:
    release = render("--set=auth.mode=kubernetes")
    asking = {name for name in OUTSIDE if "6443/TCP" in leaving(release, name)}

    assert asking == SERVERS - {"execution"}


def test_no_policy_without_the_switch() -> None:
    assert not render(*CASES["no policies"]).of("NetworkPolicy")
