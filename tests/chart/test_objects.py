"""Whatever the values, the objects are complete and fit together."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart import fields, pod_security
from tests.chart.matrix import BROUGHT, CASES
from tests.chart.rendering import NAME, NAMESPACE, Pod, Release, render

LEADER = "zeroloop.dev/leader"
"""The controller puts it on its own pod."""

OF_THE_CLUSTER = {
    *("CustomResourceDefinition", "RuntimeClass", "PriorityClass", "ClusterRoleBinding"),
}


OF_OTHERS = {"apiextensions.k8s.io/v1", "cert-manager.io/v1", "monitoring.coreos.com/v1"}
"""Kinds whose fields are not known here."""


@pytest.fixture(params=CASES, name="release")
def _release(request: pytest.FixtureRequest) -> Release:
    return render(*CASES[request.param])


def selected(release: Release, selector: Mapping[str, str]) -> list[Pod]:
    wanted = {key: value for key, value in selector.items() if key != LEADER}
    return [pod for pod in release.pods() if wanted.items() <= pod.labels.items()]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def test_only_known_fields(release: Release) -> None:
    written = [item for item in release.objects if item["apiVersion"] not in OF_OTHERS]
    wrong = [problem for item in written for problem in fields.problems_of(dict(item))]
    templates = [
        problem
        for pod in release.pods()
        for problem in fields.problems(dict(pod.spec), "V1PodSpec", pod.where)
    ]

    assert not wrong + templates


def test_names_are_the_release_s(release: Release) -> None:
    outside = [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in release.objects
        if item["kind"] not in OF_THE_CLUSTER
        and not (
            item["metadata"]["name"].startswith(f"{NAME}-")
            and item["metadata"]["namespace"] == NAMESPACE
        )
    ]
    identities = [(item["kind"], item["metadata"]["name"]) for item in release.objects]

    assert not outside
    assert len(identities) == len(set(identities))


def test_everything_is_labelled(release: Release) -> None:
    wanted = {"name", "instance", "version", "managed-by", "component", "part-of"}
    labels = {f"app.kubernetes.io/{key}" for key in wanted}
    bare = [
        item["metadata"]["name"]
        for item in release.objects
        if not labels <= set(item["metadata"]["labels"])
    ]
    bare += [pod.where for pod in release.pods() if not labels <= set(pod.labels)]

    assert not bare


def test_pods_are_restricted_but_those_of_execution(release: Release) -> None:
    wrong = {
        pod.where: problems
        for pod in release.pods()
        if pod.component != "execution" and (problems := pod_security.restricted(pod.spec))
    }

    assert not wrong


def test_execution_is_outside_of_restricted_only_as_documented(release: Release) -> None:
    for pod in (pod for pod in release.pods() if pod.component == "execution"):
        assert pod_security.baseline(pod.spec) == []
        assert pod_security.restricted(pod.spec) == [
            "pod runs as user 0",
            "execution may run as root",
            "execution has capability SETGID",
            "execution has capability SETUID",
        ]
        assert pod.spec["runtimeClassName"]


def test_pods_are_as_closed_as_they_can_be(release: Release) -> None:
    for pod in release.pods():
        reviews = "kubernetes" in environment(pod.containers[-1]).values()
        asks = pod.component == "controller" or reviews
        assert pod.spec["automountServiceAccountToken"] is asks
        assert not (asks and pod.component == "execution")
        assert pod.spec["enableServiceLinks"] is False
        for container in pod.containers:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_every_container_says_what_it_needs(release: Release) -> None:
    for pod in release.pods():
        for container in pod.containers:
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), pod.where
            assert "memory" in resources["limits"], pod.where
            # Throttling would turn a slow program into a timeout.
            assert ("cpu" in resources["limits"]) is (pod.component != "execution"), pod.where


def test_every_image_is_of_one_version(release: Release) -> None:
    images = [(pod.where, c["image"]) for pod in release.pods() for c in pod.containers]
    floating = [
        (where, image)
        for where, image in images
        if "@sha256:" not in image and image.rpartition("/")[2].rpartition(":")[2] in ("", "latest")
    ]
    tagged = [(where, image) for where, image in images if ":" not in image.rpartition("/")[2]]

    assert images
    assert not floating
    assert not tagged


def test_selectors_find_their_pods_and_no_others(release: Release) -> None:
    for kind in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
        for item in release.of(kind):
            found = selected(release, item["spec"]["selector"]["matchLabels"])
            assert [NAME + "-" + pod.component for pod in found] == [item["metadata"]["name"]]
    for item in release.of("Service"):
        found = selected(release, item["spec"]["selector"])
        assert [NAME + "-" + pod.component for pod in found] == [item["metadata"]["name"]]
    for item in release.of("HorizontalPodAutoscaler"):
        assert item["spec"]["scaleTargetRef"]["name"] in release.names("Deployment")
    for pod in release.pods():
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            assert pod in selected(release, constraint["labelSelector"]["matchLabels"])


def test_service_ports_are_open(release: Release) -> None:
    for item in release.of("Service"):
        (pod,) = selected(release, item["spec"]["selector"])
        ports = {port["name"]: port["containerPort"] for port in pod.spec["containers"][0]["ports"]}
        for port in item["spec"]["ports"]:
            assert port["port"] == port["targetPort"] == ports[port["name"]]


def test_probes_ask_an_open_port(release: Release) -> None:
    for pod in release.pods():
        container = pod.spec["containers"][0]
        open_ports = container.get("ports", [])
        # Whoever only answers scrapes is not called.
        ports = {port["containerPort"] for port in open_ports if port["name"] != "metrics"}
        probes = [container[name] for name in container if name.endswith("Probe")]
        assert bool(ports) is bool(probes), pod.where
        for probe in probes:
            for action in ("grpc", "tcpSocket"):
                assert probe.get(action, {}).get("port") in {None, *ports}


def test_servers_have_time_to_drain(release: Release) -> None:
    for pod in release.pods():
        variables = environment(pod.spec["containers"][0])
        times_s = [float(v) for k, v in variables.items() if k.endswith(("DRAIN_S", "DELAY_S"))]
        grace_s = pod.spec.get("terminationGracePeriodSeconds", 30)
        assert grace_s > sum(times_s), pod.where


def test_what_pods_name_is_there(release: Release) -> None:
    there = BROUGHT | {
        name
        for kind in ("Secret", "ConfigMap", "PersistentVolumeClaim", "ServiceAccount")
        for name in release.names(kind)
    }
    for pod in release.pods():
        sources = [pod.spec["serviceAccountName"]]
        for volume in pod.spec["volumes"]:
            sources += [volume.get("secret", {}).get("secretName")]
            sources += [volume.get("configMap", {}).get("name")]
            sources += [volume.get("persistentVolumeClaim", {}).get("claimName")]
        for container in pod.containers:
            for entry in container["env"]:
                source = entry.get("valueFrom", {}).get("secretKeyRef", {})
                sources.append(source.get("name"))
        assert {source for source in sources if source} <= there, pod.where


def test_mounts_have_volumes_and_volumes_are_used(release: Release) -> None:
    for pod in release.pods():
        mounted = {m["name"] for c in pod.containers for m in c["volumeMounts"]}
        volumes = [volume["name"] for volume in pod.spec["volumes"]]
        claims = {"data"} if pod.component == "postgresql" else set()
        assert sorted(mounted - claims) == sorted(volumes), pod.where


def test_variables_have_one_value(release: Release) -> None:
    for pod in release.pods():
        for container in pod.containers:
            names = [entry["name"] for entry in container["env"]]
            assert len(names) == len(set(names)), pod.where


def test_targets_are_services_of_the_release_or_named_ones(release: Release) -> None:
    services = {
        f"dns:///{item['metadata']['name']}.{NAMESPACE}.svc:{port['port']}"
        for item in release.of("Service")
        for port in item["spec"]["ports"]
    }
    named = {f"dns:///{name}.a:50051" for name in ("buffer", "reward", "execution")}
    targets = {
        value
        for pod in release.pods()
        for name, value in environment(pod.spec["containers"][0]).items()
        if name.endswith("_TARGET")
    }

    assert targets <= services | named


def test_scaled_deployments_leave_replicas_to_the_autoscaler(release: Release) -> None:
    scaled = {
        item["spec"]["scaleTargetRef"]["name"] for item in release.of("HorizontalPodAutoscaler")
    }
    for item in release.of("Deployment"):
        assert ("replicas" in item["spec"]) is (item["metadata"]["name"] not in scaled)


def test_replicas_can_be_left_to_an_autoscaler_of_somebody_else() -> None:
    flags = "enabled=true", "create=false"
    release = render(*(f"--set=execution.autoscaling.{flag}" for flag in flags))
    deployments = {item["metadata"]["name"]: item["spec"] for item in release.of("Deployment")}

    assert "replicas" not in deployments[f"{NAME}-execution"]
    assert deployments[f"{NAME}-reward"]["replicas"] == 2
    assert not release.of("HorizontalPodAutoscaler")


def test_several_pods_have_a_budget_and_one_has_none(release: Release) -> None:
    for item in release.of("Deployment"):
        name = item["metadata"]["name"]
        several = item["spec"].get("replicas", 2) > 1
        assert (name in release.names("PodDisruptionBudget")) is several
