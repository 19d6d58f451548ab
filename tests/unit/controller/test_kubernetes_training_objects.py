"""What an attempt to train is made of, and what is read back, for every backend."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes.api import TRAINING_RUNTIMES
from services.controller.platforms.kubernetes.training_backends import (
    TRAINING_BACKENDS,
    attempts_of,
)
from services.controller.platforms.kubernetes.training_objects import (
    Order,
    job_set,
    train_job,
    training_job,
    training_runtime,
)
from tests.unit.controller.test_kubernetes_objects import TEMPLATE, belonging

BACKENDS = sorted(TRAINING_BACKENDS)
NAMES = {
    "job": ("Complete", "PodFailurePolicy", "BackoffLimitExceeded"),
    "jobset": ("Completed", "FailJobSetFailurePolicyAction", "ReachedMaxRestarts"),
    "trainjob": ("Complete", "FailJobSetFailurePolicyAction", "ReachedMaxRestarts"),
}
"""Of a backend: the condition of what is complete, the reason of a refusal, and another one."""

AT = "2026-01-02T03:04:05Z"


def order(**changes: Any) -> Order:
    asked: dict[str, Any] = {"attempt": 2, "nodes": 4, **changes}
    return Order(belonging=belonging(), template=TEMPLATE, arguments=["--x"], **asked)


def job_of(made: Mapping[str, Any]) -> dict[str, Any]:
    """The Job's spec in a Job, a JobSet, or a runtime."""
    spec = made["spec"]
    spec = spec["template"]["spec"] if made["kind"] == "TrainingRuntime" else spec
    if "replicatedJobs" not in spec:
        return dict(spec)
    (replicated,) = spec["replicatedJobs"]
    assert (replicated["name"], replicated["replicas"]) == ("node", 1)
    return dict(replicated["template"]["spec"])


def container_of(made: Mapping[str, Any]) -> dict[str, Any]:
    (container,) = job_of(made)["template"]["spec"]["containers"]
    return container


def item(backend: str, number: int, **status: Any) -> dict[str, Any]:
    """An attempt as the API server has it."""
    made = TRAINING_BACKENDS[backend].object(order(attempt=number, last_round=number * 10))
    return {**made, "status": status}


def ended(kind: str, reason: str = "") -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": AT}


# ---- objects


@pytest.mark.parametrize("make", [training_job, job_set, training_runtime])
def test_pods_start_and_fail_together_and_say_when_that_is_for_good(make: Any) -> None:
    made = make(order())
    job = job_of(made)
    assert (job["completions"], job["parallelism"], job["backoffLimit"]) == (4, 4, 0)
    assert job["completionMode"] == "Indexed"
    assert job["podReplacementPolicy"] == "Failed", "no GPU is needed twice"
    refusal, disruption = job["podFailurePolicy"]["rules"]
    assert refusal["action"] == "FailJob"
    codes = refusal["onExitCodes"]
    assert (codes["containerName"], codes["values"]) == (container_of(made)["name"], [64])
    assert disruption["action"] == "Ignore"
    pod = job["template"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["labels"]["zeroloop.dev/run"] == "r"
    assert pod["metadata"]["labels"]["app"] == "zeroloop"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_attempt_belongs_to_its_run_and_waits_for_its_queue(backend: str) -> None:
    made = TRAINING_BACKENDS[backend].object(order(last_round=8, queue="research"))
    assert made["metadata"]["name"] == "r-train-2"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-r"
    labels = made["metadata"]["labels"]
    assert labels["zeroloop.dev/attempt"] == "2"
    assert labels["zeroloop.dev/last-round"] == "8"
    assert labels["kueue.x-k8s.io/queue-name"] == "research"
    assert made["spec"]["suspend"] is True
    alone = TRAINING_BACKENDS[backend].object(order())
    assert "kueue.x-k8s.io/queue-name" not in alone["metadata"]["labels"]
    assert alone["spec"]["suspend"] is False


@pytest.mark.parametrize(
    ("make", "master", "domain"),
    [
        (training_job, "r-train-2-0.r-train", "r-train"),
        (job_set, "r-train-2-node-0-0.r-train-2", None),
    ],
)
def test_pods_find_rank_0_and_the_trace(make: Any, master: str, domain: str | None) -> None:
    made = make(order())
    env = {entry["name"]: entry for entry in container_of(made)["env"]}
    assert env["PET_NNODES"]["value"] == "4"
    assert env["PET_MASTER_ADDR"]["value"] == master
    assert env["PET_MASTER_PORT"]["value"] == "29500"
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert env["PET_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"] == index
    assert env["TRACEPARENT"]["value"] == "tp"
    assert env["A"] == {"name": "A"}, "the template's own"
    assert job_of(made)["template"]["spec"].get("subdomain") == domain


@pytest.mark.parametrize("make", [job_set, training_runtime])
def test_whether_there_is_another_attempt_is_not_jobset_s_to_say(make: Any) -> None:
    made = make(order())
    spec = made["spec"] if made["kind"] == "JobSet" else made["spec"]["template"]["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 0
    (rule,) = spec["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert spec["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}


def test_what_ends_goes_after_an_hour_unless_it_would_come_back() -> None:
    assert training_job(order())["spec"]["ttlSecondsAfterFinished"] == 3600
    assert job_set(order())["spec"]["ttlSecondsAfterFinished"] == 3600
    template = training_runtime(order())["spec"]["template"]["spec"]
    assert "ttlSecondsAfterFinished" not in template, "a failed TrainJob makes its JobSet anew"


def test_a_train_job_says_what_its_runtime_does_not() -> None:
    made, runtime = train_job(order()), training_runtime(order())
    reference = made["spec"]["runtimeRef"]
    assert runtime["apiVersion"] == TRAINING_RUNTIMES.version
    assert f"{reference['apiGroup']}/v1alpha1" == runtime["apiVersion"]
    assert (reference["kind"], reference["name"]) == (runtime["kind"], "r-train")
    assert runtime["metadata"]["name"] == "r-train"
    assert made["spec"]["trainer"]["numNodes"] == 4
    assert made["spec"]["trainer"]["args"] == ["--x"]
    assert made["spec"]["trainer"]["env"] == [{"name": "TRACEPARENT", "value": "tp"}]


def test_a_runtime_is_of_type_torch_and_has_the_names_that_kubeflow_looks_for() -> None:
    runtime = training_runtime(order())
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 4, "torch": {}}
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    step = replicated["template"]["metadata"]["labels"]
    assert step == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    container = container_of(runtime)
    assert (container["name"], container["image"]) == ("node", "i:1")
    assert container["env"] == [{"name": "A"}], "PET_* are Kubeflow's"
    assert "args" not in container, "they differ from attempt to attempt"


# ---- reading


@pytest.mark.parametrize("backend", BACKENDS)
def test_attempts_are_read_from_their_objects(backend: str) -> None:
    complete, refusal, failure = NAMES[backend]
    leaving = item(backend, 4, conditions=[ended(complete)])
    leaving["metadata"]["deletionTimestamp"] = AT
    found = attempts_of(
        TRAINING_BACKENDS[backend],
        [
            item(backend, 11),
            item(backend, 2, conditions=[ended("Failed", failure)]),
            item(backend, 3, conditions=[ended("Failed", refusal)]),
            leaving,
        ],
    )
    assert [(attempt.number, attempt.state) for attempt in found] == [
        (2, Trainer.FAILED),
        (3, Trainer.REFUSED),
        (4, Trainer.ABSENT),
        (11, Trainer.RUNNING),
    ]
    assert [attempt.last_round for attempt in found] == [20, 30, 40, 110]
    assert [attempt.leaving for attempt in found] == [False, False, True, False]


def test_an_attempt_of_an_older_controller_has_no_last_round() -> None:
    old = item("job", 0)
    del old["metadata"]["labels"]["zeroloop.dev/last-round"]
    (attempt,) = attempts_of(TRAINING_BACKENDS["job"], [old])
    assert attempt.last_round == 0


@pytest.mark.parametrize(
    ("backend", "some", "all_"),
    [
        ("job", {"ready": 3}, {"ready": 4}),
        (
            "jobset",
            {"replicatedJobsStatus": [{"name": "node", "ready": 0, "active": 1}]},
            {"replicatedJobsStatus": [{"name": "node", "ready": 1, "active": 1}]},
        ),
        (
            "trainjob",
            {"jobsStatus": [{"name": "node", "ready": 0}]},
            {"jobsStatus": [{"name": "node", "ready": 1}]},
        ),
    ],
)
def test_an_attempt_waits_until_all_of_its_pods_are_ready(
    backend: str, some: dict[str, Any], all_: dict[str, Any]
) -> None:
    made = [item(backend, 0), item(backend, 1, **some), item(backend, 2, **all_)]
    found = attempts_of(TRAINING_BACKENDS[backend], made)
    assert [attempt.waits for attempt in found] == [True, True, False]
