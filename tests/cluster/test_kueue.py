"""Training Jobs in a queue of Kueue's, on nodes with GPUs that only claim to exist.

Kueue's controller and webhooks are its own; engines and trainers are kwok's and answer nothing.
"""

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster import attempts, gpus, installation, kueue, neighbours
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, Installation, until
from tests.cluster.programs import catalog

pytestmark = pytest.mark.timeout(600)

QUEUE = "research"
WHOLE_NODES = 2
"""Of a run; the quota is as large."""


VALUES: dict[str, Any] = {
    **gpus.values(serving=QUEUE, training=QUEUE),
    "controller": {"settings": {"runs_active_max": 2}},
}


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    neighbours.require(catalog.KUEUE)
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    with ExitStack() as stack:
        manager = stack.enter_context(kueue.running(cluster, cache()))
        cluster.apply(*kueue.quota(QUEUE, made.namespace, WHOLE_NODES * gpus.PER_NODE))
        stack.enter_context(gpus.faked(cluster))
        # There would be room for both runs and an engine each; only the quota is in the way.
        gpus.join(cluster, QUEUE, [f"queued-{number}" for number in range(2 * WHOLE_NODES + 2)])
        made.put(**VALUES)
        yield made
        made.helm("uninstall", RELEASE)
        made.kubectl("delete", "selfplayruns", "--all", "--wait=false")
        until(lambda: not attempts.pods(made, "first") + attempts.pods(made, "second"))
        print(f"Kueue's controller takes {manager.memory_mib:.0f} MiB")


def test_a_run_over_the_quota_waits_suspended_until_another_gives_it_back(
    installed: Installation,
) -> None:
    training = {"nodes": WHOLE_NODES, "ranksPerNode": gpus.PER_NODE, "queue": QUEUE}
    installed.create_run("first", 1, training=training)
    until(lambda: len(attempts.pods(installed, "first")) == WHOLE_NODES)

    installed.create_run("second", 1, training=training)
    until(lambda: "waits in queue" in training_condition(installed, "second")["message"])
    (job,) = attempts.of_run(installed, "job", "second").values()
    assert job["spec"]["suspend"] is True
    assert not attempts.pods(installed, "second")
    told = installed.get("events", "--field-selector=involvedObject.name=second")["items"]
    assert f"second-train-0 waits in queue {QUEUE}" in {event["message"] for event in told}

    installed.kubectl("delete", "selfplayrun", "first")
    until(lambda: len(attempts.pods(installed, "second")) == WHOLE_NODES)
    (job,) = attempts.of_run(installed, "job", "second").values()
    assert job["spec"]["suspend"] is False
    until(lambda: training_condition(installed, "second")["status"] == "True")


# ---- looking


def training_condition(installed: Installation, run: str) -> dict[str, Any]:
    found = installed.status(run).get("conditions", ())
    known = {condition["type"]: condition for condition in found}
    return known.get("TrainingReady", {"status": "", "message": ""})
