"""The platform with its weights in a bucket: real engine, trainer, database, and a server of S3.

One installation serves all tests of this file, in their order.
"""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, SMALL, Installation, until
from tests.services.s3_server import OWNER, READER, SECRET, S3Server, become, running_s3
from zeroloop.weights_store import read_pointer

pytestmark = pytest.mark.timeout(1800)

RUN = "bucketed"
BUCKET = "weights"
SETTINGS = {**SMALL, "keep.weights": "2"}
INFERENCE = {"replicas": 1, "keepAfterRun": True}


@pytest.fixture(scope="module")
def s3(cluster: Cluster) -> Generator[S3Server]:
    with running_s3(str(cluster.network.host_address)) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    for user in (OWNER, READER):
        keys = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": SECRET}
        metadata = {"name": f"s3-{user}", "namespace": made.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
        cluster.apply(secret)
    made.put(weights=values(s3))
    yield made
    made.helm("uninstall", RELEASE, "--wait")


def values(s3: S3Server) -> dict[str, Any]:
    return {
        "store": f"s3://{BUCKET}/lab",
        "s3": {"endpoint": s3.url, "region": "us-east-1"},
        "credentials": {"existingSecret": f"s3-{OWNER}", "readerSecret": f"s3-{READER}"},
    }


def place(installed: Installation) -> str:
    """Where the run's versions should be."""
    uid = installed.get("selfplayrun", RUN)["metadata"]["uid"]
    return f"s3://{BUCKET}/lab/{RUN}-{uid[:8]}"


def engine(installed: Installation) -> dict[str, Any]:
    selector = f"--selector=zeroloop.dev/run={RUN},app.kubernetes.io/component=inference"
    (pod,) = [
        pod
        for pod in installed.get("pods", selector)["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return pod


async def test_rounds_are_played_and_versions_go_into_the_bucket(
    installed: Installation, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = time.monotonic()
    installed.create_run(RUN, 3, settings=SETTINGS, inference=INFERENCE)
    status = installed.wait_for(RUN, lambda status: status.get("phase") == "Completed")
    print(f"three rounds took {time.monotonic() - began_s:.0f} s")

    assert status["weightsVersion"] == 3
    become(monkeypatch, s3.environment())
    pointed = read_pointer(f"{place(installed)}/SERVED.json")
    assert pointed is not None
    assert (pointed.version, pointed.uri) == (3, f"{place(installed)}/3")
    names = {path.rpartition("/")[2] for path in s3.files.ls(place(installed))}
    assert names == {"0", "2", "3", "SERVED.json"}, "version 1 is old"
    async with installed.client("buffer") as client:
        exported = await client.weights.export(tmp_path / "model", run=RUN)
    assert exported.version == 3
    assert (tmp_path / "model" / "config.json").exists()


def test_an_engine_that_starts_comes_up_on_what_was_rolled_out(installed: Installation) -> None:
    before = engine(installed)
    assert "runs" not in {volume["name"] for volume in before["spec"]["volumes"]}

    installed.kubectl("delete", "pod", before["metadata"]["name"], "--timeout=120s")

    def ready() -> bool:
        found = engine(installed)
        conditions = {c["type"]: c["status"] for c in found["status"].get("conditions", ())}
        return found["metadata"]["uid"] != before["metadata"]["uid"] and (
            conditions.get("Ready") == "True"
        )

    until(ready)
    log = installed.kubectl("logs", engine(installed)["metadata"]["name"])
    assert f"{place(installed)}/3" in log
    assert SECRET not in log
