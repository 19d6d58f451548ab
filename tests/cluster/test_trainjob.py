"""The platform with `training.backend: trainjob`, beside Kubeflow Trainer and JobSet.

Both controllers and their webhooks are the projects' own.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster import attempts, installation, jobset, kubeflow, neighbours
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, SMALL, TWO_RANKS, Installation, until
from tests.cluster.programs import catalog

pytestmark = pytest.mark.timeout(1800)

RUN = "flow"
TRAINJOB: dict[str, Any] = {"training": {"backend": "trainjob"}}
HELD = (
    "trainjobs.trainer.kubeflow.org,trainingruntimes.trainer.kubeflow.org,"
    "jobsets.jobset.x-k8s.io,jobs,services,deployments,pods,configmaps"
)


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    neighbours.require(catalog.JOBSET, catalog.TRAINER)
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    with ExitStack() as stack:
        stack.enter_context(jobset.running(cluster, cache()))
        manager = stack.enter_context(kubeflow.running(cluster, cache()))
        stack.callback(made.helm, "uninstall", RELEASE, "--wait")
        assert "Kubeflow Trainer" in made.put(**TRAINJOB)
        stack.callback(made.kubectl, "delete", "selfplayruns", "--all", "--timeout=60s")
        yield made
        print(f"Kubeflow Trainer's controller takes {manager.memory_mib:.0f} MiB")


def test_two_rounds_are_trained_by_trainjobs_though_a_trainer_is_lost(
    installed: Installation,
) -> None:
    began_s = time.monotonic()
    seen: dict[str, dict[str, Any]] = {}
    killed: list[str] = []

    def completed(status: Mapping[str, Any]) -> bool:
        seen.update(attempts.of_run(installed, "trainjob", RUN))
        running = [pod for pod in attempts.pods(installed, RUN) if is_ready(pod)]
        if not killed and status.get("currentRound", 0) >= 1 and len(running) == 2:
            killed.append(f"{RUN}-train-0")
            attempts.kill_one(installed, RUN)
        return status.get("phase") == "Completed"

    training = {**TWO_RANKS, "roundsPerJob": 1}
    installed.create_run(RUN, 2, settings=SMALL, training=training)
    status = installed.wait_for(RUN, completed)
    print(f"two rounds and a lost trainer took {time.monotonic() - began_s:.0f} s")

    assert status["weightsVersion"] == 2
    assert killed
    assert sorted(seen) == [f"{RUN}-train-{number}" for number in range(3)]
    reasons = [attempts.conditions(seen[f"{RUN}-train-{number}"]) for number in range(2)]
    assert reasons[0]["Failed"] == "ReachedMaxRestarts"
    assert "Complete" in reasons[1]


def test_kubeflow_tells_the_pods_of_each_other(installed: Installation) -> None:
    job = installed.get("job", f"{RUN}-train-1-node-0")
    assert (job["spec"]["completions"], job["status"]["succeeded"]) == (2, 2)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["PET_NNODES"] == "2"
    assert env["PET_MASTER_ADDR"] == f"{RUN}-train-1-node-0-0.{RUN}-train-1"
    assert env["PET_MASTER_PORT"] == "29500"


def test_a_suspended_run_keeps_no_trainer_and_a_deleted_one_nothing(
    installed: Installation,
) -> None:
    run = "rests"
    installed.create_run(run, 2, settings=SMALL, training=TWO_RANKS)
    until(lambda: len(attempts.pods(installed, run)) == 2, 300)
    installed.kubectl("patch", "spr", run, "--type=merge", '--patch={"spec":{"suspend":true}}')
    installed.wait_for(run, lambda status: status.get("phase") == "Suspended")
    until(lambda: not attempts.of_run(installed, "trainjob", run))
    assert not attempts.pods(installed, run), "it goes when its pods are gone"
    assert f"{run}-train" in names(installed, run), "the runtime stays for the next attempt"
    installed.kubectl("delete", "selfplayrun", run, "--timeout=60s")
    until(lambda: not names(installed, run))


def test_the_controller_was_refused_nothing(installed: Installation) -> None:
    assert not attempts.refused(installed)


# ---- looking


def names(installed: Installation, run: str) -> list[str]:
    """What there is of a run, and of its TrainJobs."""
    found = installed.get(HELD)["items"]
    return [item["metadata"]["name"] for item in found if item["metadata"]["name"].startswith(run)]


def is_ready(pod: dict[str, Any]) -> bool:
    return "Ready" in attempts.conditions(pod)
