"""Runs on nodes with GPUs: where their pods go, what becomes of them, how many runs it can be.

The nodes are kwok's and so are the engines and trainers, which are Ready and answer nothing.
Controller, reward service and sandbox are real; no round is played, so there is no buffer.
"""

import re
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import gpus, installation, processes, stop
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import MODEL, RELEASE, Installation, until

pytestmark = pytest.mark.timeout(600)

SERVING, TRAINING = "serving", "training"
SERVERS = ("serving-1",)
TRAINERS = ("training-1", "training-2", "training-3", "training-4")
LARGE = "large"
CROWD = 50
ACTIVE_MAX = 20
MEMORY_MIB_MAX = 150
"""Of a controller that plays 20 runs and knows of 30 more."""

THREADS_MAX = 40
"""Of it: whatever is tried again leaves nothing behind."""

SETTLED_S, QUIET_S = 3.0, 10.0
"""How long nothing must change: first until the runs have settled, then as proof. Every run that
is played is looked at several times in the longer one."""


GANG_S = 30
"""How long a Job may hold nodes for some of its pods only."""


VALUES: dict[str, Any] = {
    **gpus.values(serving=SERVING, training=TRAINING),
    "controller": {"settings": {"runs_active_max": ACTIVE_MAX, "gang_patience_s": GANG_S}},
}


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    with gpus.faked(cluster):
        gpus.join(cluster, SERVING, SERVERS)
        gpus.join(cluster, TRAINING, TRAINERS)
        made.put(**VALUES)
        yield made
        # The controller first: else every run that goes makes room for one that waits.
        made.helm("uninstall", RELEASE)
        made.kubectl("delete", "selfplayruns", "--all", "--wait=false")
        until(lambda: not pods_of(made))


@pytest.fixture(scope="module")
def lost(installed: Installation) -> dict[str, Any]:
    """A trainer of the large run, whose node is deleted under it.

    The cluster gives a node that is gone a minute to come back, so one test goes on meanwhile.
    """
    pod = next(pod for pod in running(installed, LARGE) if node_of(pod) in TRAINERS)
    installed.cluster.kubectl("delete", "node", node_of(pod))
    return pod


def test_a_large_run_is_put_on_gpu_nodes_alone(installed: Installation) -> None:
    installed.create_run(
        LARGE, 1, inference={"replicas": 8}, training={"nodes": 4, "ranksPerNode": gpus.PER_NODE}
    )

    until(lambda: len(running(installed, LARGE)) == 12)

    engines = pods_of(installed, LARGE, "inference")
    assert Counter(map(node_of, engines)) == {"serving-1": 8}
    assert [gpus.asked_for(pod) for pod in engines] == [1] * 8
    trainers = pods_of(installed, LARGE, "trainer")
    assert sorted(map(node_of, trainers)) == list(TRAINERS)
    for pod in trainers:
        assert gpus.asked_for(pod) == gpus.PER_NODE
        arguments = pod["spec"]["containers"][0]["args"]
        assert arguments[arguments.index("--ranks") + 1] == str(gpus.PER_NODE)
    assert most_gpus_on_a_node(installed) == gpus.PER_NODE
    others = [pod for pod in installed.get("pods")["items"] if pod not in engines + trainers]
    assert not {node_of(pod) for pod in others} & {*SERVERS, *TRAINERS}, "taints keep others away"


def test_a_replica_that_does_not_answer_is_asked_again(installed: Installation) -> None:
    def told() -> int:
        return installed.kubectl("logs", installed.leader()).count("tick_skipped")

    before = told()
    until(lambda: told() > before + 2)

    status = installed.status(LARGE)
    conditions = {found["type"]: found["status"] for found in status["conditions"]}
    assert status["phase"] == "Starting"
    assert conditions["InferenceReady"] == "False"


def test_a_trainer_that_is_deleted_costs_an_attempt(installed: Installation) -> None:
    (before,) = jobs_of(installed, LARGE)

    victim = pods_of(installed, LARGE, "trainer")[0]["metadata"]["name"]
    installed.kubectl("delete", "pod", victim, "--wait=false")

    until(lambda: len(jobs_of(installed, LARGE)) == 2)
    failed, again = jobs_of(installed, LARGE)
    assert failed["metadata"]["uid"] == before["metadata"]["uid"]
    assert again["metadata"]["labels"]["zeroloop.dev/attempt"] == "1"
    until(lambda: len(running(installed, LARGE)) == 12)
    assert most_gpus_on_a_node(installed) == gpus.PER_NODE


@pytest.mark.usefixtures("lost")
def test_a_run_that_finds_no_gpu_says_so_and_waits_for_one(installed: Installation) -> None:
    installed.create_run("waits", 1)

    def told() -> set[str]:
        events = installed.get("events", "--field-selector=involvedObject.name=waits")["items"]
        found = [re.match("no node takes a [a-z]+", event["message"]) for event in events]
        return {match[0] for match in found if match}

    until(lambda: told() == {"no node takes a replica", "no node takes a trainer"})
    conditions = {found["type"]: found for found in installed.status("waits")["conditions"]}
    assert conditions["InferenceReady"]["status"] == "False"
    assert conditions["InferenceReady"]["reason"] == "Unschedulable"
    assert f"Insufficient {gpus.RESOURCE}" in conditions["InferenceReady"]["message"]
    assert not running(installed, "waits")

    gpus.join(installed.cluster, SERVING, ["serving-2"])
    gpus.join(installed.cluster, TRAINING, spare := ["training-5", "training-6"])
    until(lambda: len(running(installed, "waits")) == 2)

    engine, trainer = sorted(map(node_of, running(installed, "waits")))
    assert engine == "serving-2"
    assert trainer in spare
    assert most_gpus_on_a_node(installed) == gpus.PER_NODE
    installed.kubectl("delete", "selfplayrun", "waits")
    until(lambda: not pods_of(installed, "waits"))


def test_a_trainer_whose_node_is_lost_is_replaced_elsewhere(
    installed: Installation, lost: dict[str, Any]
) -> None:
    """The Job goes on: that the cluster takes a pod away is nobody's failure."""
    index = completion_index(lost)

    def replaced() -> bool:
        return any(
            completion_index(pod) == index and pod["metadata"]["uid"] != lost["metadata"]["uid"]
            for pod in running(installed, LARGE)
        )

    until(replaced)
    assert len(running(installed, LARGE)) == 12
    assert node_of(lost) not in set(map(node_of, pods_of(installed)))
    assert len(jobs_of(installed, LARGE)) == 2, "that of the trainer that was deleted, and this"
    assert installed.status(LARGE)["phase"] == "Starting"
    installed.kubectl("delete", "selfplayrun", LARGE)
    until(lambda: not pods_of(installed, LARGE))


def test_a_gang_that_cannot_be_placed_holds_no_gpus(installed: Installation) -> None:
    nodes = installed.cluster.get("nodes", f"--selector={gpus.POOL}={TRAINING}")["items"]
    wanted = len(nodes) + 1
    ranks = {"ranksPerNode": gpus.PER_NODE}
    installed.create_run("gang", 1, training={"nodes": wanted, **ranks})
    until(lambda: len(placed(installed, "gang")) == len(nodes))

    installed.create_run("small", 1, training={"nodes": 1, **ranks})
    until(lambda: not placed(installed, "gang"))
    until(lambda: len(placed(installed, "small")) == 1)
    told = installed.get("events", "--field-selector=involvedObject.name=gang")["items"]
    assert [event for event in told if "lets go of its nodes" in event["message"]]

    gpus.join(installed.cluster, TRAINING, ["gang-1", "gang-2"])
    until(lambda: len(placed(installed, "gang")) == wanted)
    assert len(jobs_of(installed, "gang")) == 1, "nothing has failed"
    for run in ("gang", "small"):
        installed.kubectl("delete", "selfplayrun", run)
    until(lambda: not pods_of(installed))


def test_fifty_runs_settle_and_then_nothing_is_written(installed: Installation) -> None:
    cluster = installed.cluster
    gpus.join(cluster, SERVING, [f"crowd-serving-{i}" for i in range(ACTIVE_MAX // gpus.PER_NODE)])
    gpus.join(cluster, TRAINING, [f"crowd-training-{i}" for i in range(ACTIVE_MAX)])
    leader = installed.leader()

    cluster.apply(*(run_of(installed, f"crowd-{i}") for i in range(CROWD)))
    until(lambda: len(running(installed)) == 2 * ACTIVE_MAX, 120)
    until(lambda: phases(installed) == {"Starting": ACTIVE_MAX, "Pending": CROWD - ACTIVE_MAX})
    until(lambda: versions(installed) == versions_after(installed, SETTLED_S))

    # Each object is looked at again, as after a watch that broke.
    installed.kubectl("annotate", "selfplayruns", "--all", "tests/seen=true")
    before = versions(installed)
    assert versions_after(installed, QUIET_S) == before
    assert len(before) == CROWD + 4 * ACTIVE_MAX, "runs, Deployments, Jobs, two Services each"

    assert installed.leader() == leader
    assert restarts(installed, leader) == 0
    peak_mib, threads = size_of_controller(cluster)
    print(f"{CROWD} runs, {ACTIVE_MAX} played: the controller took {peak_mib:.0f} MiB")
    assert peak_mib < MEMORY_MIB_MAX
    assert threads < THREADS_MAX


def run_of(installed: Installation, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "zeroloop.dev/v1alpha1",
        "kind": "SelfPlayRun",
        "metadata": {"name": name, "namespace": installed.namespace},
        "spec": {"model": {"uri": MODEL}, "preset": "seedling", "rounds": 1},
    }


# ---- looking


def placed(installed: Installation, run: str) -> list[dict[str, Any]]:
    """Trainers of a run that hold a node."""
    return [pod for pod in pods_of(installed, run, "trainer") if pod["spec"].get("nodeName")]


def pods_of(installed: Installation, run: str = "", component: str = "") -> list[dict[str, Any]]:
    selector = f"zeroloop.dev/run={run}" if run else "zeroloop.dev/run"
    selector += f",app.kubernetes.io/component={component}" if component else ""
    return installed.get("pods", f"--selector={selector}")["items"]


def running(installed: Installation, run: str = "") -> list[dict[str, Any]]:
    return [
        pod
        for pod in pods_of(installed, run)
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def node_of(pod: dict[str, Any]) -> str:
    return pod["spec"].get("nodeName", "")


def completion_index(pod: dict[str, Any]) -> str | None:
    return pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-completion-index")


def most_gpus_on_a_node(installed: Installation) -> int:
    asked: Counter[str] = Counter()
    for pod in running(installed):
        asked[node_of(pod)] += gpus.asked_for(pod)
    return max(asked.values())


def jobs_of(installed: Installation, run: str) -> list[dict[str, Any]]:
    """Oldest first."""
    found = installed.get("jobs", f"--selector=zeroloop.dev/run={run}")["items"]
    return sorted(found, key=lambda job: job["metadata"]["creationTimestamp"])


def phases(installed: Installation) -> Counter[str]:
    runs = installed.get("selfplayruns")["items"]
    return Counter((run.get("status") or {}).get("phase", "") for run in runs)


def versions(installed: Installation) -> dict[str, str]:
    """Of every object that is a run or that the controller makes for one."""
    found = installed.get("selfplayruns")["items"]
    kinds = "deployments,jobs,services"
    found += installed.get(kinds, "--selector=zeroloop.dev/run")["items"]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in found}


def versions_after(installed: Installation, pause_s: float) -> dict[str, str]:
    time.sleep(pause_s)
    return versions(installed)


def restarts(installed: Installation, pod: str) -> int:
    statuses = installed.get("pod", pod)["status"]["containerStatuses"]
    return sum(status["restartCount"] for status in statuses)


def size_of_controller(cluster: Cluster) -> tuple[float, int]:
    """The most memory that it has had at once, in MiB, and how many threads it has."""
    (text,) = [
        (process / "status").read_text()
        for pid in processes.of_cluster(stop.node_pid(cluster.folder))
        if b"services.controller" in ((process := Path("/proc", str(pid))) / "cmdline").read_bytes()
    ]
    found = re.search(r"^VmHWM:\s+(\d+) kB$.*^Threads:\s+(\d+)$", text, re.MULTILINE | re.DOTALL)
    assert found
    return int(found[1]) / 1024, int(found[2])
