"""Who keeps an engine's replicas, and what is told of them; an API server in memory."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import grpc.aio
import pytest

from services.controller.decide import Services
from services.controller.platforms.kubernetes.api import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INFERENCE_SERVICES,
    PODS,
    SERVICES,
    Api,
    Kind,
    Object,
    UnknownKindError,
    _error,
)
from services.controller.platforms.kubernetes.backends import BACKENDS
from services.controller.platforms.kubernetes.engines import Engines
from services.controller.platforms.kubernetes.workloads import TEMPLATE
from tests.unit.controller.fake_api import FakeApi
from tests.unit.controller.test_kubernetes_objects import TEMPLATE as POD
from tests.unit.controller.test_kubernetes_objects import belonging
from zeroloop.errors import NotFoundError, UnavailableError

NOW = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
KINDS = {"deployment": DEPLOYMENTS, "kserve": INFERENCE_SERVICES}
NAMES = {"deployment": "r-inference", "kserve": "r"}
PROBED = {
    **POD["spec"]["containers"][0],
    "ports": [{"name": "grpc", "containerPort": 50051}],
    "readinessProbe": {"grpc": {"port": 50051}},
}
ENGINE: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/name": "zeroloop"}, "annotations": {"note": "ours"}},
    "spec": {"containers": [PROBED], "terminationGracePeriodSeconds": 70},
}


class WithoutKServe(FakeApi):
    """A cluster that knows no InferenceService."""

    async def get(self, kind: Kind, name: str) -> Object:
        if kind == INFERENCE_SERVICES:
            raise UnknownKindError("the server could not find the requested resource")
        return await super().get(kind, name)


def engines(
    api: FakeApi, backend: str, *, replicas: int = 2, template: Mapping[str, Any] = ENGINE
) -> Engines:
    made = BACKENDS[backend]
    wanted = made.object(belonging(), template, ["--model", "m"], replicas)
    channel = grpc.aio.insecure_channel
    return Engines(cast("Api", api), belonging(), made, wanted, channel, now=lambda: NOW)


def condition(kind: str, status: str, *, reason: str = "", since: timedelta) -> dict[str, Any]:
    at = (NOW - since).isoformat().replace("+00:00", "Z")
    found = {"type": kind, "status": status, "reason": reason, "message": "exceeded quota"}
    return found | {"lastTransitionTime": at}


# ---- the object


def test_an_inference_service_asks_for_a_deployment_and_nothing_else() -> None:
    made = BACKENDS["kserve"].object(belonging(), ENGINE, ["--model", "m"], 3)
    predictor, metadata = made["spec"]["predictor"], made["metadata"]
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container", "else KServe finds no server"
    assert container["readinessProbe"] == {"grpc": {"port": 50051}}, "else KServe probes TCP"
    assert predictor["minReplicas"] == predictor["maxReplicas"] == 3
    assert predictor["deploymentStrategy"]["rollingUpdate"]["maxSurge"] == 0
    assert metadata["annotations"]["serving.kserve.io/autoscalerClass"] == "none", "no HPA"
    assert metadata["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert metadata["labels"]["networking.kserve.io/visibility"] == "cluster-local", "no Ingress"
    assert metadata["ownerReferences"][0]["uid"] == "uid-r"
    assert made["apiVersion"] == "serving.kserve.io/v1beta1"


def test_replicas_of_both_kinds_have_the_same_pods_but_for_a_name() -> None:
    deployment = BACKENDS["deployment"].object(belonging(), ENGINE, ["--x"], 2)
    predictor = BACKENDS["kserve"].object(belonging(), ENGINE, ["--x"], 2)["spec"]["predictor"]
    pod = deployment["spec"]["template"]
    assert predictor["labels"] == pod["metadata"]["labels"]
    assert belonging().select("inference").items() <= predictor["labels"].items()
    ours, theirs = pod["spec"], {name: predictor[name] for name in pod["spec"]}
    named = [{**theirs["containers"][0], "name": ours["containers"][0]["name"]}]
    assert {**theirs, "containers": named} == ours
    assert predictor["annotations"]["note"] == "ours"
    assert TEMPLATE in predictor["annotations"]


# ---- keeping it


@pytest.mark.parametrize("backend", list(BACKENDS))
async def test_what_is_as_wanted_is_left_alone_and_what_is_not_is_applied(backend: str) -> None:
    api = FakeApi()
    kept = engines(api, backend)
    assert await kept.look() is Services.ABSENT
    await kept.ensure()
    assert await kept.look() is Services.STARTING
    writes = len(api.writes)
    await kept.ensure()
    assert len(api.writes) == writes

    spec = {**ENGINE["spec"], "terminationGracePeriodSeconds": 90}
    for other in (
        engines(api, backend, replicas=3),
        engines(api, backend, template={"spec": spec}),
    ):
        await other.look()
        before = len(api.writes)
        await other.ensure()
        assert ("apply", KINDS[backend].plural, NAMES[backend]) in api.writes[before:]


@pytest.mark.parametrize("backend", list(BACKENDS))
async def test_ready_is_what_the_endpoints_say_and_never_a_status(backend: str) -> None:
    api = FakeApi()
    kept = engines(api, backend)
    await kept.ensure()
    item = api.objects[KINDS[backend].plural, NAMES[backend]]
    ready = [condition(name, "True", since=timedelta()) for name in ("PredictorReady", "Ready")]
    item["status"] = {"observedGeneration": 1, "conditions": ready}
    assert await kept.look() is Services.STARTING, "stale, or ready before its weights"
    endpoints = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]
    labels = {"kubernetes.io/service-name": "r-inference"}
    slices = {"metadata": {"name": "s", "labels": labels}, "endpoints": endpoints}
    api.put(ENDPOINT_SLICES, slices, "ADDED")
    assert await kept.look() is Services.READY
    assert [replica.name for replica in kept.replicas] == ["10.0.0.1"]
    await kept.close()


@pytest.mark.parametrize(("now", "before"), [("kserve", "deployment"), ("deployment", "kserve")])
async def test_after_a_change_of_backend_the_other_s_replicas_go(now: str, before: str) -> None:
    api = FakeApi()
    await engines(api, before).ensure()
    kept = engines(api, now)
    assert await kept.look() is Services.ABSENT
    await kept.ensure()
    assert {plural for plural, _ in api.objects} == {KINDS[now].plural, SERVICES.plural}
    await engines(api, before).remove()
    assert not api.objects, "the end of a run leaves none of either kind"


async def test_one_that_is_still_being_deleted_is_waited_for() -> None:
    api = FakeApi()
    kept = engines(api, "kserve")
    await kept.ensure()
    item = api.objects[INFERENCE_SERVICES.plural, "r"]
    item["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert await kept.look() is Services.ABSENT
    with pytest.raises(UnavailableError, match="InferenceService r is still being deleted"):
        await kept.ensure()
    assert kept.waiting.reason == "Deleting"
    api.remove(INFERENCE_SERVICES, "r")
    assert await kept.look() is Services.ABSENT
    await kept.ensure()
    assert (INFERENCE_SERVICES.plural, "r") in api.objects


# ---- what is told


async def test_without_kserve_the_run_is_told_what_to_do() -> None:
    kept = engines(WithoutKServe(), "kserve")
    assert await kept.look() is Services.BROKEN
    assert kept.problem.startswith("KServe is not installed: the cluster has no InferenceService")
    assert "inference.backend to deployment" in kept.problem
    await kept.remove()


@pytest.mark.parametrize(
    ("status", "data", "unknown"),
    [
        (404, b"404 page not found\n", True),
        (404, b'{"code": 404, "details": {}, "message": "could not find the resource"}', True),
        (404, b'{"code": 404, "details": {"name": "r"}, "message": "r not found"}', False),
        (404, b"<html>not found</html>", None),
    ],
    ids=["unknown group", "unknown resource", "no such object", "a proxy's words"],
)
def test_an_unknown_kind_is_told_from_a_missing_object(
    status: int, data: bytes, unknown: bool | None
) -> None:
    error = _error(status, data)
    if unknown is None:
        assert isinstance(error, UnavailableError)
    else:
        assert isinstance(error, NotFoundError)
        assert isinstance(error, UnknownKindError) is unknown


@pytest.mark.parametrize(
    ("conditions", "created", "reason"),
    [
        ([], NOW - timedelta(seconds=5), ""),
        ([], NOW - timedelta(minutes=1), "NotTakenUp"),
        (
            [condition("PredictorReady", "False", reason="FailedCreate", since=timedelta())],
            NOW - timedelta(minutes=1),
            "FailedCreate",
        ),
        (
            [condition("PredictorReady", "False", reason="MinimumReplicas", since=timedelta())],
            NOW - timedelta(minutes=1),
            "",
        ),
    ],
    ids=["new", "nobody takes it up", "no pod may be made", "its pods start"],
)
async def test_why_kserve_does_not_start_a_replica(
    conditions: list[dict[str, Any]], created: datetime, reason: str
) -> None:
    api = FakeApi()
    kept = engines(api, "kserve")
    await kept.ensure()
    item = api.objects[INFERENCE_SERVICES.plural, "r"]
    item["metadata"]["creationTimestamp"] = created.isoformat()
    item["status"] = {"conditions": conditions}
    assert await kept.look() is Services.STARTING
    assert kept.waiting.reason == reason
    if reason == "FailedCreate":
        assert kept.waiting.message == "r: exceeded quota"
    stuck = {"type": "PodScheduled", "status": "False", "message": "no GPU"}
    labels = belonging().select("inference")
    pod = {"metadata": {"name": "p", "labels": labels}, "status": {"conditions": [stuck]}}
    api.put(PODS, pod, "ADDED")
    await kept.look()
    assert (kept.waiting.reason, kept.waiting.message) == (
        "Unschedulable",
        "no node takes a replica: p: no GPU",
    )


@pytest.mark.parametrize(("minutes", "stuck"), [(15, False), (40, True)])
async def test_a_predictor_may_take_as_long_as_a_large_model_loads(
    minutes: int, stuck: bool
) -> None:
    api = FakeApi()
    kept = engines(api, "kserve")
    await kept.ensure()
    since = timedelta(minutes=minutes)
    waited = condition("PredictorReady", "False", reason="ProgressDeadlineExceeded", since=since)
    api.objects[INFERENCE_SERVICES.plural, "r"]["status"] = {"conditions": [waited]}
    assert await kept.look() is (Services.BROKEN if stuck else Services.STARTING)
    assert kept.problem == ("r: exceeded quota" if stuck else "")


async def test_a_deployment_says_itself_that_it_is_stuck() -> None:
    api = FakeApi()
    kept = engines(api, "deployment")
    await kept.ensure()
    late = condition("Progressing", "False", since=timedelta())
    api.objects[DEPLOYMENTS.plural, "r-inference"]["status"] = {"conditions": [late]}
    assert await kept.look() is Services.BROKEN
    assert kept.problem == "r-inference: exceeded quota"
