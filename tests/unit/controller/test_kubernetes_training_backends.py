"""Attempts of one backend after another, and of one that the cluster does not have."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import PODS, Api, Kind, Object, UnknownKindError
from services.controller.platforms.kubernetes.trainer import KubernetesTrainer
from services.controller.platforms.kubernetes.training_backends import TRAINING_BACKENDS
from services.controller.platforms.kubernetes.training_objects import Order
from tests.unit.controller.fake_api import FakeApi
from tests.unit.controller.test_kubernetes_objects import TEMPLATE, belonging
from tests.unit.controller.test_kubernetes_training_objects import BACKENDS, NAMES
from zeroloop.errors import FailedPreconditionError, UnavailableError

KINDS = {name: backend.kind.plural for name, backend in TRAINING_BACKENDS.items()}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = [(before, now) for before in BACKENDS for now in BACKENDS if before != now]


class Cluster(FakeApi):
    """An API server that knows some kinds, and keeps what is deleted until its pods are gone."""

    def __init__(self, *known: str) -> None:
        super().__init__()
        self.known = {KINDS[name] for name in known or BACKENDS}
        self.forbidden: set[str] = set()
        self.ends: list[str] = []

    async def list(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> Object:
        if kind.plural in self.forbidden:
            raise FailedPreconditionError("the Kubernetes API refuses: jobs is forbidden")
        if kind.plural in set(KINDS.values()) - self.known:
            raise UnknownKindError("404 page not found")
        return await super().list(kind, labels=labels)

    async def delete(self, kind: Kind, name: str, *, foreground: bool = False) -> None:
        if not foreground:
            return await super().delete(kind, name)
        item = self.objects[kind.plural, name]
        suspended = " suspended" if item["spec"]["suspend"] else ""
        self.ends.append(f"{kind.plural} {name}{suspended}")
        item["metadata"]["deletionTimestamp"] = NOW.isoformat()
        return None

    def has_ended(self, backend: str, name: str, kind: str, reason: str) -> None:
        item = self.objects[KINDS[backend], name]
        condition = {"type": kind, "status": "True", "reason": reason}
        condition["lastTransitionTime"] = NOW.isoformat()
        item["status"] = {"conditions": [condition]}


def attempts(api: FakeApi) -> list[str]:
    kinds = set(KINDS.values())
    return [f"{plural} {name}" for plural, name in sorted(api.objects) if plural in kinds]


def trainer(
    api: FakeApi, backend: str, told: list[str] | None = None, queue: str = ""
) -> KubernetesTrainer:
    def order(attempt: int, last_round: int) -> Order:
        return Order(
            belonging=belonging(),
            template=TEMPLATE,
            arguments=[],
            attempt=attempt,
            last_round=last_round,
            nodes=2,
            queue=queue,
        )

    return KubernetesTrainer(
        cast("Api", api),
        belonging(),
        TRAINING_BACKENDS[backend],
        order,
        (told if told is not None else []).append,
        since=NOW,
        patience=timedelta(minutes=10),
        now=lambda: NOW,
    )


@pytest.mark.parametrize(
    ("backend", "beside"),
    [("job", "services"), ("jobset", ""), ("trainjob", "trainingruntimes")],
)
async def test_a_failed_attempt_is_followed_by_another(backend: str, beside: str) -> None:
    api, (_, refusal, failure) = Cluster(), NAMES[backend]
    played = trainer(api, backend)
    await played.ensure(0)
    assert attempts(api) == [f"{KINDS[backend]} r-train-0"]
    assert {plural for plural, _ in api.objects} - set(KINDS.values()) == {beside} - {""}
    api.has_ended(backend, "r-train-0", "Failed", failure)
    await played.look(None)
    assert (played.state, played.failures) == (Trainer.FAILED, 1)
    await played.ensure(1)
    assert attempts(api) == [f"{KINDS[backend]} r-train-{number}" for number in (0, 1)]
    api.has_ended(backend, "r-train-1", "Failed", refusal)
    await played.look(None)
    assert played.state is Trainer.REFUSED


@pytest.mark.parametrize(("before", "now"), CHANGES)
async def test_a_trainer_of_another_backend_ends_before_the_next_one_starts(
    before: str, now: str
) -> None:
    api = Cluster()
    await trainer(api, before).ensure(0)
    played = trainer(api, now)
    await played.look(None)
    assert played.state is Trainer.ABSENT, "so the next one is asked for"
    for _ in range(2):
        with pytest.raises(UnavailableError, match="still being deleted"):
            await played.ensure(0)
    suspended = " suspended" if before == "trainjob" else ""
    assert api.ends == [f"{KINDS[before]} r-train-0{suspended}"], "once"
    del api.objects[KINDS[before], "r-train-0"]
    await played.ensure(0)
    assert attempts(api) == [f"{KINDS[now]} r-train-0"]
    assert (played.state, played.failures) == (Trainer.RUNNING, 0)


@pytest.mark.parametrize(("before", "now"), CHANGES)
async def test_failures_count_whatever_backend_they_are_of(before: str, now: str) -> None:
    api = Cluster()
    await trainer(api, before).ensure(0)
    api.has_ended(before, "r-train-0", "Failed", NAMES[before][2])
    played = trainer(api, now)
    await played.look(None)
    assert (played.state, played.failures) == (Trainer.FAILED, 1)
    await played.ensure(1)
    assert f"{KINDS[now]} r-train-1" in attempts(api)


async def test_backends_without_attempts_are_looked_at_once() -> None:
    api = Cluster()
    played = trainer(api, "job")
    await played.look(None)
    before = api.listed
    await played.look(None)
    assert api.listed == before + 1


@pytest.mark.parametrize(
    ("backend", "remedy"), [("jobset", "JobSet"), ("trainjob", "Kubeflow Trainer")]
)
async def test_a_cluster_without_the_kind_is_told_what_to_do(backend: str, remedy: str) -> None:
    api = Cluster("job")
    await trainer(api, "job").ensure(0)
    played = trainer(api, backend)
    with pytest.raises(FailedPreconditionError, match=f"{remedy} is not installed.*backend to job"):
        await played.look(None)
    await played.stop()
    assert api.ends == ["jobs r-train-0"]


async def test_a_role_of_an_older_release_is_enough_for_its_own_kind() -> None:
    api = Cluster()
    api.forbidden = {KINDS["jobset"], KINDS["trainjob"]}
    played = trainer(api, "job")
    await played.ensure(0)
    assert played.state is Trainer.RUNNING
    api.forbidden = {KINDS["job"]}
    with pytest.raises(FailedPreconditionError, match="refuses"):
        await played.look(None)


async def test_an_attempt_that_its_queue_holds_back_says_so_once() -> None:
    told: list[str] = []
    played = trainer(Cluster(), "jobset", told, queue="research")
    await played.ensure(0)
    await played.look(None)
    assert played.waiting == "r-train-0 waits in queue research"
    assert told == [played.waiting]


async def test_an_attempt_that_nobody_takes_up_says_so() -> None:
    api, told = Cluster(), list[str]()
    played = trainer(api, "jobset", told)
    await played.ensure(0)
    metadata = api.objects["jobsets", "r-train-0"]["metadata"]
    metadata["creationTimestamp"] = (NOW - timedelta(seconds=29)).isoformat()
    await played.look(None)
    assert not played.waiting
    metadata["creationTimestamp"] = (NOW - timedelta(seconds=31)).isoformat()
    for _ in range(2):
        await played.look(None)
    why = "nobody has taken up r-train-0: does the controller of jobsets run?"
    assert (played.waiting, told) == (why, [why])


async def test_what_ended_long_ago_is_forgotten_with_the_next_attempt() -> None:
    """A TrainJob has no time after which it goes by itself."""
    api = Cluster()
    played = trainer(api, "trainjob")
    await played.ensure(0)
    api.has_ended("trainjob", "r-train-0", "Failed", "ReachedMaxRestarts")
    condition = api.objects["trainjobs", "r-train-0"]["status"]["conditions"][0]
    condition["lastTransitionTime"] = (NOW - timedelta(hours=2)).isoformat()
    await played.look(None)
    await played.ensure(1)
    assert attempts(api) == ["trainjobs r-train-1"]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_gang_that_is_placed_in_part_lets_go_whatever_it_is_made_of(backend: str) -> None:
    api, told = Cluster(), list[str]()
    played = trainer(api, backend, told)
    await played.ensure(0)
    since = (NOW - timedelta(minutes=10)).isoformat()
    unplaced = {"type": "PodScheduled", "status": "False", "lastTransitionTime": since}
    labels = {**belonging().select("trainer"), **TRAINING_BACKENDS[backend].pods("r-train-0")}
    for name, node, status in (("a", "n", {}), ("b", "", {"conditions": [unplaced]})):
        pod = {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": node}}
        api.put(PODS, {**pod, "status": status}, "ADDED")

    await played.look(None)

    assert api.objects[KINDS[backend], "r-train-0"]["spec"]["suspend"] is True
    assert told[-1].startswith("r-train-0 lets go of its nodes")
    assert played.state is Trainer.RUNNING, "nothing has failed"
