"""The platform on a real Kubernetes: installed by Helm, real engine, sandbox, database, trainer.

One installation serves all tests of this file, in their order.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
import yaml

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.collector import Collector, collecting
from tests.cluster.conftest import cache
from tests.cluster.errors import ClusterError
from tests.cluster.installation import (
    INFERENCE,
    RELEASE,
    SMALL,
    TWO_RANKS,
    Installation,
    until,
)
from zeroloop.core import figures
from zeroloop.core.rounds import RoundState

pytestmark = pytest.mark.timeout(1800)

RUN = "three-rounds"
TRACED = {"controller", "inference", "reward", "buffer", "trainer"}
"""Services whose spans reach the collector; execution may call nobody."""


@pytest.fixture(scope="module")
def collector(cluster: Cluster) -> Generator[Collector]:
    with collecting(str(cluster.network.host_address)) as collector:
        yield collector


@pytest.fixture(scope="module")
def values(collector: Collector) -> dict[str, Any]:
    return {"controller": {"replicas": 2}, "tracing": {"otlpEndpoint": collector.endpoint}}


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    notes = made.put(**values)
    assert "SelfPlayRun" in notes
    yield made
    made.helm("uninstall", RELEASE, "--wait")
    kept = made.get("customresourcedefinitions,persistentvolumeclaims")["items"]
    names = {item["metadata"]["name"] for item in kept}
    assert {"selfplayruns.zeroloop.dev", f"{RELEASE}-runs"} <= names, "what a release must keep"


async def test_three_rounds_are_played(installed: Installation) -> None:
    installed.create_run(RUN, 3, settings=SMALL, inference=INFERENCE, training=TWO_RANKS)
    began_s = time.monotonic()
    status = installed.wait_for(RUN, lambda status: status.get("phase") == "Completed")
    print(f"three rounds took {time.monotonic() - began_s:.0f} s")
    assert status["weightsVersion"] == 3
    conditions = {found["type"]: found for found in status["conditions"]}
    assert conditions["Accepted"]["status"] == "True"
    assert "v3 on 2 of 2 replicas" in conditions["WeightsSynced"]["message"]
    told = [event["reason"] for event in installed.get("events")["items"]]
    assert {"Round", "Weights", "State"} <= set(told)
    listed = installed.kubectl("get", "spr", RUN)
    assert "Completed" in listed
    assert "3/3" in listed
    await once_each(installed, RUN, 3)


def test_a_round_is_one_trace_that_reaches_into_the_job(
    installed: Installation, collector: Collector
) -> None:
    def traces(index: int) -> set[str]:
        return {
            span.trace_id
            for span in collector.spans
            if span.name == "zeroloop.round"
            and span.attributes["zeroloop.round.index"] == index
            and span.attributes["zeroloop.run.name"] == RUN
        }

    def seen(trace_id: str) -> set[str]:
        spans = [span for span in collector.spans if span.trace_id == trace_id]
        return {span.service.removeprefix("zeroloop-") for span in spans}

    for index in (1, 2, 3):
        until(lambda i=index: len(traces(i)) == 1)
        (trace_id,) = traces(index)
        until(lambda t=trace_id: seen(t) >= TRACED)
        trained = [
            span.pod
            for span in collector.spans
            if span.trace_id == trace_id and span.name == "zeroloop.train"
        ]
        assert trained
        assert all(pod.startswith(f"{RUN}-train-0-") for pod in trained), trained

    rolls = [span.duration_s for span in collector.spans if span.name == "zeroloop.weights.roll"]
    print("rolls to two replicas took", ", ".join(f"{duration_s:.1f} s" for duration_s in rolls))


def test_pods_are_what_they_should_be(installed: Installation) -> None:
    engines = installed.get("pods", f"--selector=zeroloop.dev/run={RUN}")["items"]
    serving = [pod for pod in engines if pod["metadata"]["name"].startswith(f"{RUN}-inference")]
    assert len(serving) == 2, "keepAfterRun"
    sandbox = installed.get("pod", installed.pod_of("execution"))
    assert sandbox["spec"]["runtimeClassName"] == "gvisor"


def test_a_change_of_an_immutable_field_is_refused_by_name(installed: Installation) -> None:
    for patch, field in (
        ('{"spec":{"seed":8}}', "spec.seed"),
        ('{"spec":{"model":{"uri":"/other"}}}', "spec.model"),
        ('{"spec":{"settings":{"samples_per_group":"9"}}}', "spec.settings"),
        ('{"spec":{"training":{"nodes":3}}}', "spec.training"),
        ('{"spec":{"inference":{"replicas":3}}}', "spec.inference.replicas"),
    ):
        with pytest.raises(ClusterError, match=f"{field} is immutable"):
            installed.kubectl("patch", "spr", RUN, "--type=merge", f"--patch={patch}")


def test_a_wrong_setting_is_a_condition_that_names_it(installed: Installation) -> None:
    installed.create_run("wrong", 1, settings={"nonsense": "1"})
    until(lambda: installed.status("wrong").get("phase") == "Failed")
    conditions = {c["type"]: c for c in installed.status("wrong")["conditions"]}
    assert conditions["Accepted"]["status"] == "False"
    assert "nonsense" in conditions["Accepted"]["message"]


def test_what_belongs_to_a_run_goes_with_it(installed: Installation) -> None:
    installed.kubectl("delete", "spr", RUN, "--timeout=60s")
    kinds = "deployments,jobs,services,pods"
    until(lambda: not installed.get(kinds, f"--selector=zeroloop.dev/run={RUN}")["items"])


def test_a_name_whose_data_is_still_there_is_refused(installed: Installation) -> None:
    installed.create_run(RUN, 1, settings=SMALL)
    until(lambda: installed.status(RUN).get("phase") == "Failed")
    conditions = {c["type"]: c for c in installed.status(RUN)["conditions"]}
    assert "choose another name" in conditions["Failed"]["message"]
    installed.kubectl("delete", "spr", RUN)


async def test_a_run_survives_whoever_is_killed(
    installed: Installation, values: dict[str, Any]
) -> None:
    """Controller, engine, trainer, sandbox and database, and an upgrade, a round for each."""
    run = "killed"
    installed.create_run(run, 7, settings=SMALL, inference={"replicas": 2}, training=TWO_RANKS)
    ways: list[Callable[[], object]] = [
        lambda: installed.kill(installed.leader()),
        lambda: installed.kill(installed.pod_of("inference", run)),
        lambda: installed.kill(installed.pod_of("trainer", run)),
        lambda: installed.kill(installed.pod_of("execution")),
        lambda: installed.kill(f"{RELEASE}-postgresql-0"),
        lambda: installed.put(upgrade=True, **values, podAnnotations={"upgraded": "true"}),
    ]
    for index, way in enumerate(ways, start=1):
        status = installed.wait_for(run, lambda s, i=index: s.get("currentRound", 0) >= i)
        print(f"round {status['currentRound']}, {status.get('stage')}", flush=True)
        way()
    installed.wait_for(run, lambda status: status.get("phase") == "Completed")
    await once_each(installed, run, 7)
    held = installed.get("deployments,jobs", f"--selector=zeroloop.dev/run={run}")["items"]
    busy = [item["metadata"]["name"] for item in held if item["kind"] == "Deployment"]
    assert not busy, "a run that is over holds no engine"


async def test_suspended_it_holds_nothing_and_goes_on_after_a_rollback(
    installed: Installation,
) -> None:
    run = "paused"
    installed.create_run(run, 2, settings=SMALL)
    installed.wait_for(run, lambda status: status.get("currentRound", 0) >= 1)
    async with installed.client() as client:
        await client.runs.suspend(run)
    assert installed.get("spr", run)["spec"]["suspend"], "the API writes the object"
    installed.wait_for(run, lambda status: status.get("phase") == "Suspended")
    until(lambda: not installed.get("pods", f"--selector=zeroloop.dev/run={run}")["items"])
    installed.helm("rollback", RELEASE, "--wait", "--timeout=240s")
    patch = '--patch={"spec":{"suspend":false,"rounds":3}}'
    installed.kubectl("patch", "spr", run, "--type=merge", patch)
    status = installed.wait_for(run, lambda status: status.get("phase") == "Completed")
    assert status["weightsVersion"] == 3


def test_helm_test_plays_a_round(installed: Installation) -> None:
    told = installed.helm("test", RELEASE, "--logs", "--timeout=900s")
    assert "completed" in told
    assert "v1" in told


def test_the_controller_has_the_rights_that_it_uses_and_no_others(installed: Installation) -> None:
    account = f"system:serviceaccount:{installed.namespace}:{RELEASE}-controller"
    used = {
        (event["objectRef"].get("apiGroup", ""), resource_of(event["objectRef"]), event["verb"])
        for event in installed.cluster.audit_events()
        if event["user"]["username"] == account and event["stage"] == "ResponseComplete"
    }
    role = installed.get("role", f"{RELEASE}-controller")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # A Job is patched where nodes are short; the tests of fake GPUs do that. Server-side apply
    # that makes an object needs `create`, but is told as `patch`.
    elsewhere = {("batch", "jobs", "patch")}
    created = {("apps", "deployments", "create"), ("", "services", "create")}
    # While an upgrade changes the backend, the controller that goes still looks at its own, and the
    # one that comes ends what that made.
    looked = {("serving.kserve.io", "inferenceservices", "get")}
    looked |= {("jobset.x-k8s.io", "jobsets", "delete")}
    looked |= {("trainer.kubeflow.org", "trainjobs", verb) for verb in ("patch", "delete")}
    assert used <= granted
    assert granted - used <= created | looked | elsewhere, yaml.safe_dump(sorted(granted - used))


# ---- looking


def resource_of(reference: dict[str, str]) -> str:
    sub = reference.get("subresource")
    return f"{reference['resource']}/{sub}" if sub else reference["resource"]


async def once_each(installed: Installation, run: str, rounds: int) -> None:
    """Every round is trained, once, and nothing is in two of them."""
    async with installed.client("buffer") as client:
        played = await client.rounds.list(run=run)
        assert [known.round for known in played] == list(range(rounds + 1))
        assert all(known.state is RoundState.TRAINED for known in played[1:])
        versions = [weights.version for weights in await client.weights.list(run=run)]
        assert versions[0] == rounds
        assert len(set(versions)) == len(versions)
        tasks = await client.tasks.list(run=run)
        assert len({task.task_id for task in tasks}) == len(tasks)
        admitted = sum(int(known.metrics[figures.ADMITTED]) for known in played)
        assert admitted == len(tasks), "as many as all rounds admitted"
