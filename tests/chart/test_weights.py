"""Weights in a bucket: who is told of it, as whom it calls, and what it still mounts."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.matrix import CASES
from tests.chart.rendering import Pod, refusal, render
from tests.chart.test_network import OUTSIDE, leaving
from tests.chart.test_settings import environment, loaded

USERS = ("controller", "inference", "trainer")
STORE = "--set=weights.store=s3://bucket/weights"
OURS = CASES["a bucket of our own"]
GOOGLE = CASES["a bucket of Google's"]


def volumes(pod: Pod) -> dict[str, Mapping[str, Any]]:
    return {volume["name"]: volume for volume in pod.spec["volumes"]}


def mounts(pod: Pod) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in pod.containers[-1]["volumeMounts"]}


def secrets(pod: Pod) -> set[str]:
    """Secrets whose keys become variables of the cloud's SDK."""
    entries = pod.containers[-1]["env"]
    return {
        entry["valueFrom"]["secretKeyRef"]["name"]
        for entry in entries
        if entry["name"].startswith("AWS_") and "valueFrom" in entry
    }


def test_without_a_store_there_is_no_trace_of_one() -> None:
    release = render()

    assert not [pod.where for pod in release.pods() if "weights" in volumes(pod)]
    assert not [p.where for p in release.pods() if {"AWS_REGION"} & set(environment(p))]
    assert all("runs" in volumes(release.pod(component)) for component in USERS)


def test_each_is_told_what_it_needs() -> None:
    release = render(STORE)

    assert loaded(release.pod("controller")).weights_store == "s3://bucket/weights"
    for component, name in (("inference", "weights_cache"), ("trainer", "weights_scratch")):
        pod = release.pod(component)
        assert str(getattr(loaded(pod), name)) == mounts(pod)["weights"]


def test_engines_alone_do_without_the_runs_volume() -> None:
    release = render(STORE)

    assert {c for c in USERS if "runs" in volumes(release.pod(c))} == {"controller", "trainer"}
    assert "runs" not in mounts(release.pod("inference"))


def test_engines_have_credentials_that_may_only_read() -> None:
    release = render(*OURS)

    assert {component: secrets(release.pod(component)) for component in USERS} == {
        "controller": {"w"},
        "inference": {"r"},
        "trainer": {"w"},
    }
    assert environment(release.pod("trainer"))["AWS_ENDPOINT_URL_S3"] == "https://s3.lab:9000"
    one = render(STORE, "--set=weights.credentials.existingSecret=w").pod("inference")
    assert secrets(one) == {"w"}


@pytest.mark.parametrize("component", USERS)
def test_google_s_key_is_a_file(component: str) -> None:
    pod = render(*GOOGLE).pod(component)

    path = environment(pod)["GOOGLE_APPLICATION_CREDENTIALS"]
    assert path == f"{mounts(pod)['weights-credentials']}/credentials.json"
    assert volumes(pod)["weights-credentials"]["secret"]["secretName"] == "w"


def test_versions_on_their_way_have_room_of_their_own() -> None:
    assert volumes(render(STORE).pod("trainer"))["weights"]["emptyDir"] == {}
    volume = volumes(render(*OURS).pod("inference"))["weights"]
    assert volume["emptyDir"] == {"sizeLimit": "200Gi"}


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ((STORE,), {"443/TCP", "80/TCP"}),
        (OURS, {"9000/TCP"}),
        (GOOGLE, {"443/TCP"}),
        (("--set=weights.store=gs://bucket",), {"443/TCP", "80/TCP", "988/TCP"}),
        ((STORE, "--set=weights.s3.endpoint=http://s3.lab"), {"80/TCP"}),
    ],
    ids=["identity", "our own", "google", "google's identity", "plain"],
)
def test_who_deals_with_the_bucket_may_call_it(values: tuple[str, ...], more: set[str]) -> None:
    release = render(*values)

    for component, before in OUTSIDE.items():
        expected = before | more if component in USERS else before
        assert leaving(release, component) == expected, component


def test_peers_narrow_where_it_is() -> None:
    release = render(*OURS, "--set=weights.peers[0].ipBlock.cidr=10.0.0.7/32")
    policy = release.one("NetworkPolicy", "inference")["spec"]

    (rule,) = [r for r in policy["egress"] if {"protocol": "TCP", "port": 9000} in r["ports"]]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.0.0.7/32"}}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("--set=weights.s3.region=lab-1",), "weights.store names none"),
        (("--set=weights.credentials.existingSecret=w",), "weights.store names none"),
        (("--set=weights.store=gs://b", "--set=weights.s3.region=x"), "leave weights.s3 empty"),
        (("--set=weights.store=/mnt/weights",), "weights/store"),
        (("--set=weights.store=s3://key:secret@bucket",), "weights/store"),
    ],
)
def test_what_does_not_fit_together_is_refused(values: tuple[str, ...], said: str) -> None:
    assert said in refusal(*values)


def test_promoted_weights_go_to_those_that_are_named_and_to_no_others() -> None:
    release = render("--set=weights.promoteTo={coder,judge}", "--set=runsVolume.existingClaim=nfs")

    settings = loaded(release.pod("controller"))
    assert settings.promote_to == ["coder", "judge"]
    assert settings.runs_claim == "nfs"
    assert {"get", "patch"} == {
        verb
        for rule in release.one("Role", "controller")["rules"]
        if rule.get("resourceNames") == ["coder", "judge"]
        for verb in rule["verbs"]
    }
    plain = render()
    assert loaded(plain.pod("controller")).promote_to == []
    rules = plain.one("Role", "controller")["rules"]
    assert not [rule for rule in rules if "resourceNames" in rule]


def test_a_nameless_service_is_refused() -> None:
    assert "promoteTo" in refusal("--set=weights.promoteTo={}", "--set=weights.promoteTo[0]=")
