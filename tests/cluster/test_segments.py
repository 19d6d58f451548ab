"""Training Jobs of one round each: between them no trainer holds a node.

The chart with the values for one node without a GPU; engine, sandbox, database, trainer are real.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, Installation
from zeroloop.core import figures
from zeroloop.core.batches import Weights
from zeroloop.core.rounds import Round, RoundState

pytestmark = pytest.mark.timeout(1800)

RUN = "segments"
SMALL = {
    **installation.SMALL,
    # In turn, so that a stage tells what runs.
    "pipeline.overlap": "false",
    "evaluate.enabled": "true",
    "evaluate.tasks_per_kind": "3",
}
WHOLE_SECOND = timedelta(seconds=1)
"""Kubernetes drops what is less."""

LEAVES = timedelta(seconds=60)
"""From the end of a round to that of its Job, on two busy cores."""

PLAYED_S = 1500
"""Three rounds, each with a trainer that starts anew, on two busy cores."""


@dataclass
class Watched:
    """What was seen of a run's Jobs and of its trainers while it was played."""

    installed: Installation
    run: str
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """The newest state of each."""

    most_at_once: int = 0
    trainers_in: dict[str, int] = field(default_factory=dict[str, int])
    """Most trainers' pods at the beginning of a stage, by round and stage."""

    reasons: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Of the condition TrainingReady while the run was played: status and reason."""

    def completed(self, status: Mapping[str, Any]) -> bool:
        """Look once more; whether the run is completed."""
        selector = f"--selector=zeroloop.dev/run={self.run},app.kubernetes.io/component=trainer"
        found = self.installed.get("jobs", selector)["items"]
        self.jobs |= {job["metadata"]["name"]: job for job in found}
        self.most_at_once = max(self.most_at_once, len(found))
        stage = f"{status.get('currentRound')} {status.get('stage')}"
        if stage not in self.trainers_in:
            pods = self.installed.get("pods", selector)["items"]
            living = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
            self.trainers_in[stage] = len(living)
        if status.get("phase") == "Playing":
            conditions = {found["type"]: found for found in status["conditions"]}
            ready = conditions["TrainingReady"]
            self.reasons.add((ready["status"], ready["reason"]))
            assert "Degraded" not in conditions
        return status.get("phase") == "Completed"


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    made.put()
    yield made
    made.helm("uninstall", RELEASE, "--wait")


async def test_each_round_is_trained_by_a_job_of_its_own_that_is_gone_while_others_are_played(
    installed: Installation,
) -> None:
    training = {"nodes": 2, "roundsPerJob": 1}
    installed.create_run(RUN, 3, settings=SMALL, training=training)
    watched = Watched(installed, RUN)

    status = installed.wait_for(RUN, watched.completed, PLAYED_S)

    assert status["weightsVersion"] == 3
    assert sorted(watched.jobs) == [f"{RUN}-train-{index}" for index in range(3)]
    assert watched.most_at_once <= 3, "all but the one before are deleted"
    assert watched.reasons == {("True", "Resting"), ("True", "Running")}
    rollouts = [f"{index} {step}" for index in (1, 2, 3) for step in ("estimate", "solve")]
    assert set(rollouts) & set(watched.trainers_in)
    for stage in rollouts:
        assert watched.trainers_in.get(stage, 0) == 0, watched.trainers_in
    rounds, versions = await history(installed, RUN)
    assert [known.state for known in rounds[1:]] == [RoundState.TRAINED] * 3
    jobs = [watched.jobs[name] for name in sorted(watched.jobs)]
    for known, job, following in zip(rounds[1:], jobs, [*rounds[2:], None], strict=True):
        began = moment(job["metadata"]["creationTimestamp"])
        assert known.committed_at is not None
        assert began >= known.committed_at - WHOLE_SECOND, "not before its batch waits"
        published = versions[known.round].published_at
        assert published is not None
        step = timedelta(seconds=known.metrics[figures.STEP_S])
        start = published - known.committed_at - step
        print(f"round {known.round}: {start.total_seconds():.1f} s of {job_name(job)} for")
        print(f"  its start and publishing, {step.total_seconds():.1f} s for the step")
        if following is not None:  # The last Job may still be about to end when the run does.
            late = ended_at(job) - following.opened_at
            print(f"  it was complete {late.total_seconds():.1f} s after the next round began")
            assert late < LEAVES


async def test_on_a_shared_device_the_engine_sleeps_while_a_job_trains(
    installed: Installation,
) -> None:
    run = "turns"
    installed.create_run(
        run,
        2,
        settings=installation.SMALL,
        inference={"keepAfterRun": True},
        training={"colocate": True},
    )

    status = installed.wait_for(run, lambda status: status.get("phase") == "Completed", PLAYED_S)

    assert status["weightsVersion"] == 2
    log = installed.kubectl("logs", installed.pod_of("inference", run), "--container=inference")
    turns = [json.loads(line) for line in log.splitlines() if "engine_turned" in line]
    assert [turn["asleep"] for turn in turns] == [True, False] * 2
    asleep = [datetime.fromisoformat(turn["time"]) for turn in turns]
    jobs = installed.get("jobs", f"--selector=zeroloop.dev/run={run}")["items"]
    for index, job in enumerate(sorted(jobs, key=job_name)):
        began, ended = moment(job["metadata"]["creationTimestamp"]), ended_at(job)
        fell_asleep, woke = asleep[2 * index], asleep[2 * index + 1]
        print(f"turn {index}: the engine slept for {(woke - fell_asleep).total_seconds():.1f} s")
        assert fell_asleep - WHOLE_SECOND <= began
        assert ended <= woke + WHOLE_SECOND


# ---- looking


async def history(installed: Installation, run: str) -> tuple[list[Round], dict[int, Weights]]:
    """The rounds of a run, and its versions of the weights by number."""
    async with installed.client("buffer") as client:
        versions = {weights.version: weights for weights in await client.weights.list(run=run)}
        return await client.rounds.list(run=run), versions


def conditions_of(job: Mapping[str, Any]) -> dict[str, str]:
    """When each condition of a Job became true."""
    found = job["status"].get("conditions") or ()
    return {c["type"]: c["lastTransitionTime"] for c in found if c["status"] == "True"}


def ended_at(job: Mapping[str, Any]) -> datetime:
    conditions = conditions_of(job)
    assert "Complete" in conditions, job["status"]
    return moment(conditions["Complete"])


def job_name(job: Mapping[str, Any]) -> str:
    return job["metadata"]["name"]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
