"""Attempts to train as Jobs: started once, counted, forgiven, told of."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import JOBS, PODS, Api
from services.controller.platforms.kubernetes.trainer import KubernetesTrainer
from services.controller.platforms.kubernetes.training_backends import TRAINING_BACKENDS
from services.controller.platforms.kubernetes.training_objects import LAST_ROUND, Order
from services.controller.platforms.kubernetes.workloads import Belonging
from tests.unit.controller.fake_api import FakeApi
from zeroloop.core.batches import Weights
from zeroloop.errors import UnavailableError

OWNER = {"apiVersion": "v", "kind": "SelfPlayRun", "name": "r", "uid": "u"}
TEMPLATE = {"spec": {"containers": [{"name": "trainer", "image": "i", "command": ["python"]}]}}
BELONGING = Belonging(run="r", owner=OWNER, labels={})


class Jobs:
    """A trainer on an API server in memory, and what happens to its Jobs."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.told: list[str] = []
        self.now = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
        self.trainer = KubernetesTrainer(
            cast("Api", self.api),
            BELONGING,
            TRAINING_BACKENDS["job"],
            lambda attempt, last_round: Order(
                belonging=BELONGING,
                template=TEMPLATE,
                arguments=[],
                attempt=attempt,
                last_round=last_round,
                nodes=2,
            ),
            self.told.append,
            since=datetime(2026, 1, 1, tzinfo=UTC),
            patience=timedelta(minutes=10),
            now=lambda: self.now,
        )

    def names(self) -> list[str]:
        return sorted(name for plural, name in self.api.objects if plural == "jobs")

    def end(self, name: str, kind: str, at: str, reason: str = "BackoffLimitExceeded") -> None:
        item = self.api.objects["jobs", name]
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": at}
        item["status"] = {"conditions": [condition]}
        self.api.put(JOBS, item, "MODIFIED")

    def pod(self, job: str, **status: Any) -> None:
        labels = {**BELONGING.select("trainer"), "job-name": job}
        metadata = {"name": f"{job}-0-x", "labels": labels}
        self.api.put(PODS, {"metadata": metadata, "spec": {}, "status": status}, "ADDED")


def published(
    version: int, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
) -> Callable[[], Awaitable[Weights]]:
    """A registry whose newest version is this one."""

    async def newest() -> Weights:
        return Weights(run="r", version=version, uri="", manifest_digest="", published_at=at)

    return newest


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


async def test_one_attempt_runs_however_often_it_is_asked_for(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    await jobs.trainer.ensure(0)
    assert jobs.names() == ["r-train-0"]
    assert jobs.trainer.state is Trainer.RUNNING
    assert ("services", "r-train") in jobs.api.objects


async def test_a_failed_attempt_is_counted_told_once_and_followed_by_another(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    ended = {"terminated": {"exitCode": 75, "message": "peer lost\n"}}
    jobs.pod("r-train-0", containerStatuses=[{"state": ended}])
    jobs.end("r-train-0", "Failed", "2026-01-02T03:04:05Z")
    for _ in range(2):
        await jobs.trainer.look(None)
    assert (jobs.trainer.state, jobs.trainer.failures) == (Trainer.FAILED, 1)
    assert jobs.told == ["training Job r-train-0 ended: r-train-0-0-x with code 75: peer lost"]
    await jobs.trainer.ensure(0)
    assert jobs.names() == ["r-train-0"], "whoever asks does not know of the failure"
    await jobs.trainer.ensure(1)
    assert jobs.names() == ["r-train-0", "r-train-1"]


async def test_progress_forgives_earlier_failures(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    jobs.end("r-train-0", "Failed", "2026-01-02T03:04:05Z")
    await jobs.trainer.look(published(1, datetime(2026, 1, 2, 3, 4, 4, tzinfo=UTC)))
    assert jobs.trainer.failures == 1
    await jobs.trainer.look(published(1, datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)))
    assert jobs.trainer.failures == 0


async def test_a_trainer_that_refuses_says_so(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    jobs.end("r-train-0", "Failed", "2026-01-02T03:04:05Z", reason="PodFailurePolicy")
    await jobs.trainer.look(None)
    assert jobs.trainer.state is Trainer.REFUSED


async def test_a_refusal_from_before_does_not_count(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    jobs.end("r-train-0", "Failed", "2025-12-31T23:59:59Z", reason="PodFailurePolicy")
    await jobs.trainer.look(None)
    assert (jobs.trainer.state, jobs.trainer.failures) == (Trainer.FAILED, 0)
    await jobs.trainer.ensure(0)
    assert jobs.names() == ["r-train-0", "r-train-1"]


async def test_pods_that_no_node_takes_are_told_of_once(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    message = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
    waits = {"type": "PodScheduled", "status": "False", "message": message}
    jobs.pod(
        "r-train-0",
        conditions=[{**waits, "lastTransitionTime": jobs.now.isoformat()}],
    )
    for _ in range(2):
        await jobs.trainer.look(None)
    assert jobs.told == [f"no node takes a trainer: r-train-0-0-x: {message}"]


async def test_an_attempt_that_is_being_deleted_must_be_gone_first(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    item = jobs.api.objects["jobs", "r-train-0"]
    item["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    jobs.api.put(JOBS, item, "MODIFIED")
    with pytest.raises(UnavailableError, match="still being deleted"):
        await jobs.trainer.ensure(0)
    jobs.api.remove(JOBS, "r-train-0")
    await jobs.trainer.ensure(0)
    assert jobs.trainer.state is Trainer.RUNNING
    await jobs.trainer.stop()
    assert jobs.names() == []


async def test_a_segment_that_is_trained_is_no_failure_and_the_next_one_is_a_new_job(
    jobs: Jobs,
) -> None:
    await jobs.trainer.look(published(0))
    await jobs.trainer.ensure(0, 2)
    assert jobs.api.objects["jobs", "r-train-0"]["metadata"]["labels"][LAST_ROUND] == "2"
    jobs.end("r-train-0", "Complete", "2026-01-02T03:04:05Z")
    await jobs.trainer.look(published(2))
    assert (jobs.trainer.state, jobs.trainer.failures) == (Trainer.ABSENT, 0)
    await jobs.trainer.ensure(0, 4)
    assert jobs.names() == ["r-train-0", "r-train-1"]
    assert jobs.trainer.state is Trainer.RUNNING
    assert jobs.told == []


async def test_of_many_segments_the_last_one_and_the_failures_stay(jobs: Jobs) -> None:
    for number in range(50):
        await jobs.trainer.look(published(number))
        await jobs.trainer.ensure(0, number + 1)
        kind = "Failed" if number == 7 else "Complete"
        jobs.end(f"r-train-{number}", kind, "2025-12-31T23:50:00Z")
    assert jobs.names() == ["r-train-48", "r-train-49", "r-train-7"]


async def test_a_segment_that_ends_without_its_weights_is_a_failed_attempt(jobs: Jobs) -> None:
    """Else one that ends at once would be started again and again."""
    await jobs.trainer.look(published(1))
    await jobs.trainer.ensure(0, 2)
    jobs.end("r-train-0", "Complete", "2026-01-02T03:04:05Z")
    for _ in range(2):
        await jobs.trainer.look(published(1))
    assert (jobs.trainer.state, jobs.trainer.failures) == (Trainer.FAILED, 1)
    assert jobs.told == [
        "training Job r-train-0 ended: it is complete, but weights v2 are not published"
    ]
    await jobs.trainer.ensure(0, 2)
    assert jobs.names() == ["r-train-0"], "whoever asks does not know of the failure"


async def test_a_job_killed_in_its_segment_is_followed_by_one_with_the_same_end(
    jobs: Jobs,
) -> None:
    await jobs.trainer.look(published(1))
    await jobs.trainer.ensure(0, 4)
    jobs.end("r-train-0", "Failed", "2026-01-02T03:04:05Z")
    await jobs.trainer.look(published(2))
    assert (jobs.trainer.state, jobs.trainer.failures) == (Trainer.FAILED, 1)
    await jobs.trainer.ensure(1, 4)
    ends = [jobs.api.objects["jobs", name]["metadata"]["labels"] for name in jobs.names()]
    assert [labels[LAST_ROUND] for labels in ends] == ["4", "4"]


async def test_a_run_comes_to_rest_while_the_buffer_is_away(jobs: Jobs) -> None:
    async def away() -> Weights:
        raise UnavailableError("the buffer does not answer")

    await jobs.trainer.ensure(0)
    with pytest.raises(UnavailableError):
        await jobs.trainer.look(away)
    await jobs.trainer.stop()
    assert jobs.names() == []


async def test_a_job_that_finds_nodes_for_some_pods_lets_go_and_tries_again(jobs: Jobs) -> None:
    await jobs.trainer.ensure(0)
    since = {"type": "PodScheduled", "status": "False", "message": "Insufficient nvidia.com/gpu"}
    since["lastTransitionTime"] = jobs.now.isoformat()
    jobs.pod("r-train-0", conditions=[since])
    held = {**jobs.api.objects["pods", "r-train-0-0-x"], "spec": {"nodeName": "a"}, "status": {}}
    jobs.api.put(PODS, {**held, "metadata": {**held["metadata"], "name": "other"}}, "ADDED")

    await jobs.trainer.look(None)
    assert not suspended(jobs), "an autoscaler may bring a node"
    jobs.now += timedelta(minutes=10)
    await jobs.trainer.look(None)
    assert suspended(jobs)
    assert jobs.told[-1] == "r-train-0 lets go of its nodes, because not all of its pods have one"

    item = jobs.api.objects["jobs", "r-train-0"]
    at = jobs.now.isoformat()
    item["status"] = {
        "conditions": [{"type": "Suspended", "status": "True", "lastTransitionTime": at}]
    }
    jobs.api.objects = {key: value for key, value in jobs.api.objects.items() if "pods" not in key}
    await jobs.trainer.look(None)
    assert suspended(jobs)
    assert "tries again" in jobs.trainer.waiting
    assert jobs.trainer.state is Trainer.RUNNING, "nothing has failed"
    jobs.now += timedelta(minutes=10)
    await jobs.trainer.look(None)
    assert not suspended(jobs)
    assert jobs.names() == ["r-train-0"]


def suspended(jobs: Jobs) -> bool:
    return bool(jobs.api.objects["jobs", "r-train-0"]["spec"]["suspend"])
