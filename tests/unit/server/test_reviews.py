"""Who may call what, as a cluster would say it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from services._server import reviews
from services._server.permissions import Permission, permission_of
from services._server.reviews import ClusterReviews
from zeroloop.buffer.v1 import buffer_pb2
from zeroloop.controller.v1 import controller_pb2
from zeroloop.errors import AuthError, ForbiddenError, UnavailableError
from zeroloop.execution.v1 import execution_pb2
from zeroloop.inference.v1 import inference_pb2
from zeroloop.reward.v1 import reward_pb2

SAMPLE = "/zeroloop.buffer.v1.TaskService/Sample"
CREATE = "/zeroloop.controller.v1.RunService/CreateRun"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ALICE = {"username": "system:serviceaccount:team:alice", "uid": "1", "groups": ["team"]}


class FakeCluster:
    """Knows tokens and rights; counts what it is asked."""

    def __init__(self) -> None:
        self.users: dict[str, Mapping[str, Any]] = {"alice-token": ALICE}
        self.audience = "zeroloop"
        self.rights = {(ALICE["username"], "call", "buffer", "")}
        self.asked: list[str] = []
        self.down = False
        self.delay_s = 0.0

    async def review(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        await asyncio.sleep(self.delay_s)
        if self.down:
            raise UnavailableError("the Kubernetes API does not answer")
        spec = body["spec"]
        if path.endswith("tokenreviews"):
            user = self.users.get(spec["token"])
            if user is None or self.audience not in spec["audiences"]:
                return {"authenticated": False}
            return {"authenticated": True, "user": user, "audiences": [self.audience]}
        wanted = spec["resourceAttributes"]
        assert wanted["group"] == "zeroloop.dev"
        assert wanted["namespace"] == "here"
        assert spec["groups"] == ["team"]
        right = (spec["user"], wanted["verb"], wanted["resource"], wanted["subresource"])
        return {"allowed": right in self.rights}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def gate(cluster: FakeCluster) -> ClusterReviews:
    return ClusterReviews(cluster, audience="zeroloop", namespace="here")


async def test_whoever_has_the_right_is_admitted_and_not_asked_about_again(gate, cluster) -> None:
    for _ in range(3):
        await gate.admit("alice-token", SAMPLE)
    assert cluster.asked == ["tokenreviews", "subjectaccessreviews"]


async def test_a_good_token_without_the_right_is_told_which_one_is_missing(gate) -> None:
    with pytest.raises(ForbiddenError, match=r"alice may not create selfplayruns\.zeroloop\.dev"):
        await gate.admit("alice-token", CREATE)


@pytest.mark.parametrize("token", ["", "nobodys"])
async def test_a_token_of_nobody_is_refused(gate, token) -> None:
    with pytest.raises(AuthError, match="audience 'zeroloop'") as refused:
        await gate.admit(token, SAMPLE)
    assert not isinstance(refused.value, ForbiddenError)


async def test_a_token_for_another_audience_is_refused(gate, cluster) -> None:
    cluster.audience = "https://kubernetes.default.svc"
    with pytest.raises(AuthError, match="audience"):
        await gate.admit("alice-token", SAMPLE)


async def test_reflection_needs_a_token_and_no_right(gate, cluster) -> None:
    cluster.rights.clear()
    await gate.admit("alice-token", REFLECTION)
    with pytest.raises(AuthError):
        await gate.admit("nobodys", REFLECTION)


async def test_a_silent_cluster_is_not_the_callers_fault_and_is_not_remembered(
    gate, cluster
) -> None:
    cluster.down = True
    with pytest.raises(UnavailableError):
        await gate.admit("alice-token", SAMPLE)
    cluster.down = False
    await gate.admit("alice-token", SAMPLE)


async def test_who_was_admitted_goes_on_while_the_cluster_is_silent(gate, cluster) -> None:
    await gate.admit("alice-token", SAMPLE)
    cluster.down = True
    await gate.admit("alice-token", SAMPLE)


async def test_answers_expire_and_refusals_sooner(gate, cluster, monkeypatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(reviews.time, "monotonic", lambda: now_s)
    await gate.admit("alice-token", SAMPLE)
    with pytest.raises(ForbiddenError):
        await gate.admit("alice-token", CREATE)
    cluster.rights = {(ALICE["username"], "create", "selfplayruns", "")}
    now_s = reviews.REFUSED_S + 1
    await gate.admit("alice-token", CREATE)
    await gate.admit("alice-token", SAMPLE)
    now_s = reviews.ADMITTED_S + 1
    with pytest.raises(ForbiddenError):
        await gate.admit("alice-token", SAMPLE)


async def test_many_calls_at_once_ask_once(gate, cluster) -> None:
    cluster.delay_s = 0.01
    await asyncio.gather(*(gate.admit("alice-token", SAMPLE) for _ in range(50)))
    assert len(cluster.asked) == 2


async def test_a_caller_that_leaves_does_not_take_the_answer_from_others(gate, cluster) -> None:
    cluster.delay_s = 0.05
    first = asyncio.create_task(gate.admit("alice-token", SAMPLE))
    second = asyncio.create_task(gate.admit("alice-token", SAMPLE))
    await asyncio.sleep(0.01)
    first.cancel()
    await second


async def test_memory_is_bounded_however_many_tokens_are_tried(gate, monkeypatch) -> None:
    monkeypatch.setattr(reviews, "ANSWERS_MAX", 10)
    for number in range(100):
        with pytest.raises(AuthError):
            await gate.admit(f"guess-{number}", SAMPLE)
    assert len(gate._answers) == 10


def test_every_method_of_the_platform_needs_a_right() -> None:
    modules = (buffer_pb2, controller_pb2, execution_pb2, inference_pb2, reward_pb2)
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found = permission_of(f"/{service.full_name}/{method.name}")
                assert found is not None
                assert found.verb != "*", f"{method.full_name} has no right of its own"


@pytest.mark.parametrize(
    ("method", "right"),
    [
        (SAMPLE, Permission("call", "buffer")),
        ("/zeroloop.inference.v1.InferenceService/Generate", Permission("call", "inference")),
        (
            "/zeroloop.inference.v1.WeightsService/Apply",
            Permission("call", "inference", "weights"),
        ),
        (
            "/zeroloop.controller.v1.RunService/PromoteWeights",
            Permission("update", "selfplayruns", "weights"),
        ),
        ("/zeroloop.controller.v1.RunService/NotYetKnown", Permission("*", "selfplayruns")),
        (REFLECTION, None),
    ],
)
def test_rights_are_named_as_roles_would(method, right) -> None:
    assert permission_of(method) == right
