"""The trainer publishes into a bucket: whole versions, once each, and ends as it should."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.s3_server import READER, S3Server, become
from tests.unit.trainer.fakes import HistoryLearner
from tests.unit.trainer.samples import batch
from trainer.exits import ExitCode, ReplayMismatchError, exit_code_of
from trainer.group import SoloGroup
from trainer.publisher import Origin, Publisher
from trainer.store import MemoryStore
from zeroloop.errors import ZeroloopError
from zeroloop.weights_copy import copy_version
from zeroloop.weights_store import open_store


def publisher(place: str, store: MemoryStore, scratch: Path | None = None) -> Publisher:
    origin = Origin(run="r", base_model="m", dtype="float32", companions=[])
    versions = open_store(place, scratch=scratch)
    return Publisher(versions, origin, SoloGroup(), store, probe_sequences=2)


def test_a_version_goes_into_the_bucket_and_its_url_into_the_registry(
    bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    store, learner, scratch = MemoryStore("r", {}), HistoryLearner(), tmp_path / "scratch"
    one = publisher(f"{bucket}/r", store, scratch)
    scratch.mkdir()
    (scratch / ".building-left-by-the-one-before").mkdir()
    one.clear_unfinished()

    size_bytes = one.publish(learner, 1, parent=0, sequences=batch(4))

    weights = store.weights[1]
    version = copy_version(weights.uri, weights.manifest_digest, tmp_path / "here")
    assert weights.uri == f"{bucket}/r/1"
    assert version.size_bytes == weights.size_bytes == size_bytes
    assert len(version.probe) == 2
    assert list(scratch.iterdir()) == []


def test_a_registered_version_is_compared_and_never_touched(bucket: str, s3: S3Server) -> None:
    store, learner = MemoryStore("r", {}), HistoryLearner()
    one = publisher(bucket, store)
    one.publish(learner, 1, parent=0, sequences=batch(4))
    path = f"{bucket}/1/model.safetensors"
    before = s3.files.info(path)["LastModified"]
    s3.files.rm_file(f"{bucket}/1/config.json")

    one.publish(learner, 1, parent=0, sequences=batch(4))
    learner.history.append("other weights")
    with pytest.raises(ReplayMismatchError):
        one.publish(learner, 1, parent=0, sequences=batch(4))

    assert s3.files.info(path)["LastModified"] == before
    assert not s3.files.exists(f"{bucket}/1/config.json"), "retention may have begun with it"


@pytest.mark.parametrize(
    ("place", "environment", "code"),
    [
        ("s3://no-such-bucket/r", {}, ExitCode.CONFIG),
        ("{bucket}", {"AWS_ACCESS_KEY_ID": READER}, ExitCode.RETRIABLE),
        ("{bucket}", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, ExitCode.RETRIABLE),
    ],
    ids=["no bucket", "no right", "no answer"],
)
def test_a_failure_is_a_platform_s_and_nothing_is_registered(
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    environment: dict[str, str],
    code: ExitCode,
) -> None:
    become(monkeypatch, environment)
    store = MemoryStore("r", {})

    with pytest.raises(ZeroloopError) as caught:
        publisher(place.format(bucket=bucket), store).publish(HistoryLearner(), 1, parent=0)

    assert exit_code_of(caught.value) is code
    assert store.weights == {}


def test_a_place_that_cannot_be_used_ends_the_trainer_at_once() -> None:
    place = "s3://key:secret@bucket/weights"
    flags = ["--run=r", "--model=m", "--buffer=b", "--checkpoint-dir=c", f"--weights-dir={place}"]
    ended = subprocess.run(
        [sys.executable, "-m", "trainer.launch", *flags, "--check-config"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == ExitCode.CONFIG
    assert "weights_dir" in ended.stderr
    assert "must not carry credentials" in ended.stderr
    assert "secret" not in ended.stderr
