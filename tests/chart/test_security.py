"""Certificates and tokens: who shows what to whom."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509

from services._server.permissions import GROUP, permission_of
from tests.chart.matrix import CASES
from tests.chart.rendering import NAME, Pod, Release, render
from tests.chart.test_network import GRAPH, SERVERS

KUBERNETES = CASES["accounts of the cluster"]

CALLED = {
    "inference": "/zeroloop.inference.v1.InferenceService/Generate",
    "inference/weights": "/zeroloop.inference.v1.WeightsService/Apply",
    "reward": "/zeroloop.reward.v1.RewardService/Judge",
    "buffer": "/zeroloop.buffer.v1.TaskService/Sample",
}


def volumes(pod: Pod) -> Mapping[str, Mapping[str, Any]]:
    return {volume["name"]: volume for volume in pod.spec["volumes"]}


def variables(pod: Pod) -> dict[str, str]:
    """A pod's settings, by name without the service's prefix."""
    entries = pod.containers[-1]["env"]
    return {e["name"].rpartition("__")[2]: e.get("value", "") for e in entries}


def may(release: Release, account: str) -> set[tuple[str, str]]:
    """What an account may do with our own kinds, as verb and resource."""
    roles = {item["metadata"]["name"]: item for item in release.of("Role")}
    return {
        (verb, resource)
        for binding in release.of("RoleBinding")
        if account in [subject["name"] for subject in binding["subjects"]]
        for rule in roles[binding["roleRef"]["name"]]["rules"]
        if rule["apiGroups"] == [GROUP]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


def test_the_chart_s_certificate_is_for_every_service_and_every_client() -> None:
    data = render().one("Secret", "tls")["data"]
    found, ca = (
        x509.load_pem_x509_certificate(base64.b64decode(data[name]))
        for name in ("tls.crt", "ca.crt")
    )
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    found.verify_directly_issued_by(ca)
    assert set(names.get_values_for_type(x509.DNSName)) == {
        *("*.lab.svc", "*.lab.svc.cluster.local", "localhost"),
    }
    assert {usage._name for usage in usages} == {"serverAuth", "clientAuth"}


def test_cert_manager_s_certificate_has_the_same_names() -> None:
    release = render(*CASES["cert-manager"])
    spec = release.one("Certificate", "tls")["spec"]

    assert spec["dnsNames"] == ["*.lab.svc", "*.lab.svc.cluster.local", "localhost"]
    assert {"server auth", "client auth"} <= set(spec["usages"])
    assert spec["secretName"] == f"{NAME}-tls"
    assert spec["issuerRef"]["name"] in release.names("Issuer")
    assert not render(*CASES["cert-manager's issuer"]).of("Issuer")


def test_cert_manager_renews_keys_but_for_the_authority_s() -> None:
    release = render(*CASES["cert-manager"])
    kept = {
        item["metadata"]["name"]: item["spec"]["privateKey"]["rotationPolicy"]
        for item in release.of("Certificate")
    }

    assert kept == {f"{NAME}-ca": "Never", f"{NAME}-tls": "Always"}


@pytest.mark.parametrize("component", sorted(SERVERS))
def test_servers_have_certificates_and_want_their_callers_but_for_users(component: str) -> None:
    found = variables(render().pod(component))

    assert found["TLS_CERT_FILE"] == "/etc/zeroloop/tls/tls.crt"
    assert ("TLS_REQUIRE_CLIENT" in found) is (component != "controller")
    assert found["HEALTH_PORT"] == "50052"


def test_without_mutual_certificates_nobody_wants_one() -> None:
    release = render("--set=tls.mutual=false")

    assert not [p.where for p in release.pods() if "TLS_REQUIRE_CLIENT" in variables(p)]


def test_without_certificates_there_is_no_trace_of_them() -> None:
    release = render(*CASES["no certificates"])

    assert f"{NAME}-tls" not in release.names("Secret")
    assert not [name for pod in release.pods() for name in variables(pod) if "TLS" in name]
    assert not [pod.where for pod in release.pods() if "tls" in volumes(pod)]


def test_users_get_the_authority_alone() -> None:
    pod = render().pod("test")

    assert volumes(pod)["tls"]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert variables(pod)["ZEROLOOP_CA_FILE"] == "/etc/zeroloop/tls/ca.crt"


@pytest.mark.parametrize("component", ["postgresql", "migrations"])
def test_who_calls_no_service_has_no_key(component: str) -> None:
    assert not {"tls", "token"} & set(volumes(render().pod(component)))


@pytest.mark.parametrize("component", ["controller", "reward", "trainer", "inference", "test"])
def test_with_accounts_callers_show_a_token_of_their_own(component: str) -> None:
    (source,) = volumes(render(*KUBERNETES).pod(component))["token"]["projected"]["sources"]

    assert source["serviceAccountToken"]["audience"] == "zeroloop"


def test_with_accounts_execution_alone_knows_the_shared_token() -> None:
    release = render(*KUBERNETES)
    knowing = {
        pod.component
        for pod in release.pods()
        for volume in pod.spec["volumes"]
        if volume.get("secret", {}).get("secretName") == f"{NAME}-token"
    }

    assert knowing == {"execution", "controller", "reward"}
    assert "AUTH" not in variables(release.pod("execution"))
    assert release.pod("execution").spec["automountServiceAccountToken"] is False


def test_rights_to_call_are_those_of_the_service_graph() -> None:
    release = render(*KUBERNETES)
    needed = {
        (caller, called)
        for caller, called, _ in GRAPH
        if called in ("inference", "reward", "buffer")
    } | {("controller", "inference/weights")}
    given = {
        (caller, resource)
        for caller in ("controller", "reward", "trainer", "inference", "buffer", "test")
        for verb, resource in may(release, f"{NAME}-{caller}")
        if verb == "call"
    }

    assert given == needed
    for _, called in given:
        right = permission_of(CALLED[called])
        resource, _, subresource = called.partition("/")
        assert (right.verb, right.resource, right.subresource) == ("call", resource, subresource)


def test_users_may_play_runs_and_nothing_else() -> None:
    release = render(*KUBERNETES)
    methods = ("CreateRun", "GetRun", "ListRuns", "WatchRun", "StopRun", "PromoteWeights")
    rights = {permission_of(f"/zeroloop.controller.v1.RunService/{name}") for name in methods}
    needed = {
        (r.verb, f"{r.resource}/{r.subresource}" if r.subresource else r.resource) for r in rights
    }

    assert may(release, "researchers") == may(release, f"{NAME}-test") == needed


def test_services_may_ask_who_calls_and_nothing_more_of_the_cluster() -> None:
    release = render(*KUBERNETES)
    (binding,) = release.of("ClusterRoleBinding")

    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert {subject["name"] for subject in binding["subjects"]} == {
        f"{NAME}-{name}" for name in SERVERS - {"execution"}
    }
