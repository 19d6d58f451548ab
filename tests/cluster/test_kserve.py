"""The platform with `inference.backend: kserve`, beside KServe's own manager.

One installation serves all tests of this file, in their order: KServe is missing at first.
"""

import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster import images, kserve, neighbours
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import (
    INFERENCE,
    RELEASE,
    SMALL,
    TWO_RANKS,
    Installation,
    until,
)
from tests.cluster.managers import Manager
from tests.cluster.programs import catalog
from zeroloop.core.runs import Promotion
from zeroloop.errors import FailedPreconditionError, NotFoundError

pytestmark = pytest.mark.timeout(1800)

RUN = "served"
OTHERS = "coder"
"""An InferenceService that is not the platform's."""

KSERVE: dict[str, Any] = {
    "inference": {"backend": "kserve"},
    "weights": {"promoteTo": [OTHERS]},
}
FETCHED = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""By this annotation KServe tells a pod's storage initializer what to fetch."""

HELD = ",".join(
    [
        *("inferenceservices.serving.kserve.io", "deployments", "services", "pods"),
        *("horizontalpodautoscalers", "ingresses"),
    ]
)


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    neighbours.require(catalog.KSERVE)
    folder = tmp_path_factory.mktemp("release")
    with neighbours.without(cluster, folder, "KServe", KSERVE) as made:
        yield made


@pytest.fixture(scope="module")
def manager(installed: Installation) -> Generator[Manager]:
    with neighbours.arrived(installed, "KServe", kserve.running) as running:
        yield running


def test_without_kserve_a_run_fails_and_says_what_to_do(installed: Installation) -> None:
    installed.create_run("without", 1, settings=SMALL)
    until(lambda: installed.status("without").get("phase") == "Failed")
    conditions = {found["type"]: found for found in installed.status("without")["conditions"]}
    assert "KServe is not installed" in conditions["Failed"]["message"]
    assert "inference.backend to deployment" in conditions["Failed"]["message"]
    told = installed.get("events", "--field-selector=involvedObject.name=without")["items"]
    warned = [event["message"] for event in told if event["type"] == "Warning"]
    assert any("KServe is not installed" in message for message in warned), warned
    installed.kubectl("delete", "selfplayrun", "without")


@pytest.mark.usefixtures("manager")
def test_three_rounds_are_played_on_replicas_of_kserve(installed: Installation) -> None:
    began_s = time.monotonic()
    installed.create_run(RUN, 3, settings=SMALL, inference=INFERENCE, training=TWO_RANKS)
    installed.wait_for(RUN, lambda status: condition(status, "InferenceReady") == "True")
    print(f"the first replica serves after {time.monotonic() - began_s:.0f} s")
    status = installed.wait_for(RUN, lambda status: status.get("phase") == "Completed")
    print(f"three rounds took {time.monotonic() - began_s:.0f} s")
    assert status["weightsVersion"] == 3
    conditions = {found["type"]: found for found in status["conditions"]}
    assert "v3 on 2 of 2 replicas" in conditions["WeightsSynced"]["message"]


@pytest.mark.usefixtures("manager")
def test_kserve_makes_a_deployment_and_no_more_than_it_must(installed: Installation) -> None:
    found = names(installed, f"--selector=zeroloop.dev/run={RUN}")
    assert found["InferenceService"] == {RUN}
    assert found["Deployment"] == {f"{RUN}-predictor"}
    assert found["Service"] == {f"{RUN}-inference", f"{RUN}-predictor", f"{RUN}-train"}
    assert not {"HorizontalPodAutoscaler", "Ingress"} & set(names(installed))
    deployment = installed.get("deployment", f"{RUN}-predictor")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    assert deployment["metadata"]["generation"] == 1, "weights never touch the pods"
    serving = pods(installed, RUN)
    assert len(serving) == 2, "keepAfterRun"
    for pod in serving:
        (container,) = pod["spec"]["containers"]
        assert container["name"] == "kserve-container"
        assert "grpc" in container["readinessProbe"], "ready with its weights and not before"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.usefixtures("manager")
async def test_kserve_rolls_another_service_to_promoted_weights(installed: Installation) -> None:
    installed.cluster.apply(*served_to_others(installed))
    until(lambda: fetched(installed) == "hf://org/base")
    engines = {pod["metadata"]["name"] for pod in pods(installed, RUN)}

    async with installed.client() as client:
        promoted = await client.weights.promote(run=RUN, version=2, inference_service=OTHERS)
        with pytest.raises(FailedPreconditionError, match=f"weights.promoteTo.*{OTHERS}"):
            await client.weights.promote(run=RUN, version=2, inference_service=RUN)
        with pytest.raises(NotFoundError, match="9"):
            await client.weights.promote(run=RUN, version=9, inference_service=OTHERS)

    assert promoted == Promotion(2, f"pvc://zeroloop-runs/{RUN}/weights/2")
    files = installed.folder / "zeroloop-runs" / promoted.storage_uri.partition("-runs/")[2]
    assert (files / "model.safetensors").exists(), "what KServe is told is there"
    until(lambda: fetched(installed) == promoted.storage_uri)
    assert {pod["metadata"]["name"] for pod in pods(installed, RUN)} == engines
    installed.kubectl("delete", "inferenceservice", OTHERS, "--timeout=60s")


@pytest.mark.usefixtures("manager")
def test_a_deleted_run_takes_its_inference_service_and_pods_along(
    installed: Installation,
) -> None:
    installed.kubectl("delete", "selfplayrun", RUN, "--timeout=60s")
    until(lambda: not names(installed, f"--selector=zeroloop.dev/run={RUN}"))


@pytest.mark.usefixtures("manager")
def test_a_run_survives_a_lost_replica_and_a_change_of_backend(installed: Installation) -> None:
    run = "moved"
    installed.create_run(run, 5, settings=SMALL, inference=INFERENCE, training=TWO_RANKS)
    installed.wait_for(run, lambda status: status.get("currentRound", 0) >= 1)
    before = {pod["metadata"]["name"] for pod in pods(installed, run)}
    installed.kill(min(before))
    until(lambda: bool({pod["metadata"]["name"] for pod in pods(installed, run)} - before))

    installed.put(upgrade=True)
    assert installed.status(run)["phase"] != "Completed", "else nothing moves"
    status = installed.wait_for(run, lambda status: status.get("phase") == "Completed")
    conditions = {found["type"]: found for found in status["conditions"]}
    assert "v5 on" in conditions["WeightsSynced"]["message"]
    found = names(installed, f"--selector=zeroloop.dev/run={run}")
    assert found["Deployment"] == {f"{run}-inference"}
    assert "InferenceService" not in found


@pytest.mark.usefixtures("manager")
def test_the_controller_has_the_rights_that_it_uses_on_inference_services(
    installed: Installation,
) -> None:
    account = f"system:serviceaccount:{installed.namespace}:{RELEASE}-controller"
    asked = [
        (event["objectRef"]["resource"], event["verb"], event["responseStatus"]["code"])
        for event in installed.cluster.audit_events()
        if event["user"]["username"] == account and event["stage"] == "ResponseComplete"
    ]
    used = {verb for resource, verb, _ in asked if resource == "inferenceservices"}
    assert used == {"get", "patch", "delete"}, "and create, which apply needs"
    assert not [entry for entry in asked if entry[2] == 403]


def served_to_others(installed: Installation) -> list[dict[str, Any]]:
    """An InferenceService with a model of KServe's, and what would serve it."""
    image = images.references(images.built(cache()))["services"]
    sleeping = {"name": "kserve-container", "image": image, "command": ["sleep", "infinity"]}
    standard = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "none",
    }
    model = {
        "modelFormat": {"name": "huggingface"},
        "runtime": "sleeping",
        "storageUri": "hf://org/base",
    }
    return [
        {
            "apiVersion": "serving.kserve.io/v1alpha1",
            "kind": "ServingRuntime",
            "metadata": {"name": "sleeping", "namespace": installed.namespace},
            "spec": {
                "supportedModelFormats": [{"name": "huggingface"}],
                "containers": [sleeping],
            },
        },
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": OTHERS,
                "namespace": installed.namespace,
                "annotations": standard,
                "labels": {"networking.kserve.io/visibility": "cluster-local"},
            },
            "spec": {"predictor": {"model": model}},
        },
    ]


# ---- looking


def fetched(installed: Installation) -> str:
    """What pods of the InferenceService fetch from now, by KServe's word."""
    found = installed.get("deployments")["items"]
    annotations = [
        item["spec"]["template"]["metadata"]["annotations"]
        for item in found
        if item["metadata"]["name"] == f"{OTHERS}-predictor"
    ]
    return annotations[0].get(FETCHED, "") if annotations else ""


def condition(status: Any, kind: str) -> str:
    found = {entry["type"]: entry["status"] for entry in status.get("conditions", ())}
    return found.get(kind, "")


def names(installed: Installation, *arguments: str) -> dict[str, set[str]]:
    """Names of what is there, by kind."""
    found: dict[str, set[str]] = {}
    for item in installed.get(HELD, *arguments)["items"]:
        found.setdefault(item["kind"], set()).add(item["metadata"]["name"])
    return found


def pods(installed: Installation, run: str) -> list[dict[str, Any]]:
    selector = f"--selector=zeroloop.dev/run={run},app.kubernetes.io/component=inference"
    found = installed.get("pods", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    return condition(pod["status"], "Ready") == "True"
