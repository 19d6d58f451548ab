"""The platform with `training.backend: jobset`, beside JobSet's own controller and webhooks.

One installation serves all tests of this file, in their order: JobSet is missing at first.
"""

import time
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from tests.cluster import attempts, jobset, neighbours
from tests.cluster.cluster import Cluster
from tests.cluster.installation import SMALL, TWO_RANKS, Installation, until
from tests.cluster.managers import Manager
from tests.cluster.programs import catalog

pytestmark = pytest.mark.timeout(1800)

RUN = "sets"
JOBSET: dict[str, Any] = {"training": {"backend": "jobset"}}
MOVES_S = 300
"""From an upgrade until the next trainer starts: a new controller leads, the old trainer saves."""

HELD = "jobsets.jobset.x-k8s.io,jobs,services,deployments,pods"


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    neighbours.require(catalog.JOBSET)
    folder = tmp_path_factory.mktemp("release")
    with neighbours.without(cluster, folder, "JobSet", JOBSET) as made:
        yield made


@pytest.fixture(scope="module")
def manager(installed: Installation) -> Generator[Manager]:
    with neighbours.arrived(installed, "JobSet", jobset.running) as running:
        yield running


def test_without_jobset_a_run_fails_and_says_what_to_do(installed: Installation) -> None:
    installed.create_run("without", 1, settings=SMALL)
    until(lambda: installed.status("without").get("phase") == "Failed")
    conditions = {found["type"]: found for found in installed.status("without")["conditions"]}
    assert "JobSet is not installed" in conditions["Failed"]["message"]
    assert "training.backend to job" in conditions["Failed"]["message"]
    assert not installed.get("deployments", "--selector=zeroloop.dev/run=without")["items"]
    installed.kubectl("delete", "selfplayrun", "without")


@pytest.mark.usefixtures("manager")
def test_each_of_two_rounds_is_trained_by_a_jobset_of_its_own(installed: Installation) -> None:
    began_s = time.monotonic()
    seen: dict[str, dict[str, Any]] = {}

    def completed(status: Mapping[str, Any]) -> bool:
        seen.update(attempts.of_run(installed, "jobset", RUN))
        return status.get("phase") == "Completed"

    training = {**TWO_RANKS, "roundsPerJob": 1}
    installed.create_run(RUN, 2, settings=SMALL, training=training)
    status = installed.wait_for(RUN, completed)
    print(f"two rounds took {time.monotonic() - began_s:.0f} s")
    assert status["weightsVersion"] == 2
    assert sorted(seen) == [f"{RUN}-train-0", f"{RUN}-train-1"]
    assert "Completed" in attempts.conditions(seen[f"{RUN}-train-0"])
    job = installed.get("job", f"{RUN}-train-0-node-0")
    assert (job["spec"]["completions"], job["status"]["succeeded"]) == (2, 2)
    assert not attempts.of_run(installed, "job", RUN), "a JobSet's Job is not an attempt"
    services = {item["metadata"]["name"] for item in installed.get("services")["items"]}
    assert f"{RUN}-train-0" in services, "JobSet names the pods"
    assert f"{RUN}-train" not in services


@pytest.mark.usefixtures("manager")
def test_a_deleted_run_takes_its_jobsets_along(installed: Installation) -> None:
    installed.kubectl("delete", "selfplayrun", RUN, "--timeout=60s")
    until(lambda: not names(installed, RUN))


@pytest.mark.usefixtures("manager")
def test_a_run_survives_a_lost_trainer_and_a_change_of_backend(installed: Installation) -> None:
    run = "moved"
    installed.create_run(run, 4, settings=SMALL, training=TWO_RANKS)
    installed.wait_for(run, lambda status: status.get("currentRound", 0) >= 1)
    attempts.kill_one(installed, run)
    until(lambda: f"{run}-train-1" in attempts.of_run(installed, "jobset", run))
    failed = attempts.of_run(installed, "jobset", run)[f"{run}-train-0"]
    assert attempts.conditions(failed)["Failed"] == "ReachedMaxRestarts"

    installed.put(upgrade=True)
    assert installed.status(run)["phase"] != "Completed", "else nothing moves"
    until(lambda: bool(attempts.of_run(installed, "job", run)), MOVES_S)
    assert list(attempts.of_run(installed, "jobset", run)) == [f"{run}-train-0"]
    assert len(attempts.pods(installed, run)) <= 2, "the other trainer has ended before"
    status = installed.wait_for(run, lambda status: status.get("phase") == "Completed")
    assert status["weightsVersion"] == 4
    told = installed.get("events", f"--field-selector=involvedObject.name={run}")["items"]
    # A controller that takes over tells of it once more.
    ended = {event["message"] for event in told if "training Job" in event["message"]}
    assert len(ended) == 1, "what a change of backend ends has not failed"


@pytest.mark.usefixtures("manager")
def test_the_controller_was_refused_nothing(installed: Installation) -> None:
    assert not attempts.refused(installed)


# ---- looking


def names(installed: Installation, run: str) -> list[str]:
    """What there is of a run, and of its JobSets."""
    found = installed.get(HELD)["items"]
    return [item["metadata"]["name"] for item in found if item["metadata"]["name"].startswith(run)]
