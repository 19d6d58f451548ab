"""What every store of weights promises, and what a bucket does when something fails.

The bucket is on a real server of S3; see `s3_server`.
"""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.controller.retention import retain_weights
from tests.services.s3_server import READER, S3Server, become
from tests.unit.controller.fake_buffer import FakeBuffer
from zeroloop._weights_folder import export_weights
from zeroloop.core.batches import Weights
from zeroloop.errors import (
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from zeroloop.weights_copy import copy_version
from zeroloop.weights_folder import seal, verify
from zeroloop.weights_pointer import ServedWeights
from zeroloop.weights_store import (
    WeightsStore,
    open_store,
    read_pointer,
    write_pointer,
)

CONTENT = b"w" * 100_000
POINTED = ServedWeights(3, "s3://b/3", "a" * 64)


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a run's versions go, each kind of place in turn."""
    if request.param == "folder":
        return str(tmp_path / "weights")
    return f"{request.getfixturevalue('bucket')}/weights/run"


def publish(store: WeightsStore, version: int, content: bytes = CONTENT, shards: int = 2) -> str:
    """Write a version; return the digest that a registry would have."""
    with store.writing(version) as folder:
        for shard in range(shards):
            (folder / f"model-{shard}.safetensors").write_bytes(content)
        return seal(folder, version=version, parent=0, dtype="float32")


# ---- every store


def test_a_version_comes_back_whole_and_verified(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    digest = publish(store, 3)

    version = copy_version(store.uri(3), digest, tmp_path / "here")

    assert verify(tmp_path / "here", digest).size_bytes == version.size_bytes
    assert version.manifest.version == 3
    assert (tmp_path / "here" / "model-1.safetensors").read_bytes() == CONTENT


def test_what_is_not_finished_is_no_version(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    with contextlib.suppress(ZeroDivisionError), store.writing(3) as folder:
        (folder / "model.safetensors").write_bytes(CONTENT)
        _ = 1 / 0

    with pytest.raises(NotFoundError):
        copy_version(store.uri(3), "0" * 64, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_version_that_is_written_again_replaces_the_first(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    publish(store, 3, b"first", shards=3)
    digest = publish(store, 3, b"second", shards=1)

    copy_version(store.uri(3), digest, tmp_path / "here")

    there = {path.name for path in (tmp_path / "here").iterdir()}
    assert there == {"model-0.safetensors", "manifest.json"}


def test_another_digest_than_the_registry_s_is_damage(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    publish(store, 3)

    with pytest.raises(CorruptDataError, match=rf"{store.uri(3)}/manifest\.json has SHA-256"):
        copy_version(store.uri(3), "0" * 64, tmp_path / "here")


def test_removing_takes_one_version_and_no_other(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    publish(store, 1)
    digest = publish(store, 10)

    assert store.remove(1, store.uri(1))
    assert store.remove(1, store.uri(1)), "again, it changes nothing"

    with pytest.raises(NotFoundError):
        copy_version(store.uri(1), digest, tmp_path / "gone")
    copy_version(store.uri(10), digest, tmp_path / "here")


@pytest.mark.parametrize("place", ["{root}", "{root}/..", "{root}x/3", "{root}/4", "/", "s3://b/3"])
def test_only_what_the_store_keeps_is_removed(root: str, tmp_path: Path, place: str) -> None:
    store = open_store(root)
    digest = publish(store, 3)

    assert not store.remove(3, place.format(root=root))

    copy_version(store.uri(3), digest, tmp_path / "here")


def test_a_copy_that_is_given_up_leaves_nothing(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    digest = publish(store, 3)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(UnavailableError, match="given up"):
        copy_version(store.uri(3), digest, tmp_path / "copies" / "3", stopped=stopped)
    assert list((tmp_path / "copies").iterdir()) == []


def test_the_pointer_is_replaced_whole(root: str, tmp_path: Path) -> None:
    Path(root).mkdir(parents=True) if root.startswith("/") else None
    place = f"{root}/SERVED.json"

    assert read_pointer(place) is None
    write_pointer(place, ServedWeights(2, "s3://b/2", "b" * 64))
    write_pointer(place, POINTED)
    assert read_pointer(place) == POINTED


async def test_old_versions_go_and_the_base_and_the_promoted_stay(
    root: str, tmp_path: Path
) -> None:
    store, buffer = open_store(root), FakeBuffer()
    for version in range(5):
        digest = publish(store, version)
        await buffer.weights.publish(
            Weights(run="r", version=version, uri=store.uri(version), manifest_digest=digest)
        )
    await buffer.weights.promote("r", 1)

    assert await retain_weights(buffer, "r", store, keep=2) == [2]

    for weights in await _all(buffer):
        copy_version(weights.uri, weights.manifest_digest, tmp_path / str(weights.version))
    with pytest.raises(NotFoundError):
        copy_version(store.uri(2), digest, tmp_path / "2")


async def _all(buffer: FakeBuffer) -> list[Weights]:
    return list((await buffer.weights.list("r")).weights)


# ---- a bucket


def test_a_damaged_object_is_named_and_nothing_is_left(
    bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    store = open_store(bucket)
    digest = publish(store, 3)
    path = f"{bucket}/3/model-1.safetensors"
    s3.files.pipe_file(path, b"x" * len(CONTENT))

    with pytest.raises(CorruptDataError, match=rf"{path} has SHA-256"):
        copy_version(store.uri(3), digest, tmp_path / "copies" / "3")
    s3.files.pipe_file(path, CONTENT + b"more")
    with pytest.raises(CorruptDataError, match=rf"{path} has 100004 bytes, at most 100000"):
        copy_version(store.uri(3), digest, tmp_path / "copies" / "3")
    s3.files.rm_file(path)
    with pytest.raises(CorruptDataError, match=rf"{path} is missing"):
        copy_version(store.uri(3), digest, tmp_path / "copies" / "3")

    assert list((tmp_path / "copies").iterdir()) == []


def test_large_files_arrive_in_pieces(bucket: str, tmp_path: Path) -> None:
    """Above the sizes at which the client uploads and downloads parts of a file at once."""
    store = open_store(bucket, scratch=tmp_path / "scratch")
    content = bytes(range(256)) * (101 * 4096)
    digest = publish(store, 1, content, shards=1)

    version = copy_version(store.uri(1), digest, tmp_path / "here")

    assert version.size_bytes > len(content)
    assert list((tmp_path / "scratch").iterdir()) == []


KILLED_BEFORE_THE_MANIFEST = """
import os, signal, sys
from zeroloop._bucket import Bucket
from tests.services.test_weights_store import open_store, publish
put = Bucket.put
def put_or_die(self, source, name):
    if name.endswith("manifest.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, source, name)
Bucket.put = put_or_die
publish(open_store(sys.argv[1]), 3, b"half", shards=4)
"""


def test_a_killed_upload_is_no_version_and_does_not_stay(
    bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_THE_MANIFEST, bucket], timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(s3.files.ls(f"{bucket}/3")) == 4, "it died in the middle"
    store = open_store(bucket)
    with pytest.raises(NotFoundError):
        copy_version(store.uri(3), "0" * 64, tmp_path / "here")

    digest = publish(store, 3, shards=1)

    copy_version(store.uri(3), digest, tmp_path / "here")
    assert len(s3.files.ls(f"{bucket}/3")) == 2


def test_readers_need_no_right_to_write(
    bucket: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = publish(open_store(bucket), 3)
    write_pointer(f"{bucket}/SERVED.json", POINTED)
    become(monkeypatch, s3.environment(READER))
    store = open_store(bucket)

    assert read_pointer(f"{bucket}/SERVED.json") == POINTED
    copy_version(store.uri(3), digest, tmp_path / "here")
    with pytest.raises(FailedPreconditionError, match="refuses access"):
        publish(store, 4)
    with pytest.raises(FailedPreconditionError, match="refuses access"):
        store.remove(3, store.uri(3))
    copy_version(store.uri(3), digest, tmp_path / "again")


def test_wrong_credentials_are_said_to_be_and_not_repeated(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, {"AWS_SECRET_ACCESS_KEY": "not-the-right-one"})

    with pytest.raises(FailedPreconditionError, match="check the credentials") as caught:
        copy_version(f"{bucket}/3", "0" * 64, tmp_path / "here")
    with pytest.raises(FailedPreconditionError, match="check the credentials"):
        read_pointer(f"{bucket}/SERVED.json")

    assert "not-the-right-one" not in str(caught.value)


def test_a_missing_bucket_is_said_to_be(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"s3://no-such-bucket/.*its bucket does not"):
        publish(open_store("s3://no-such-bucket/run"), 1)
    with pytest.raises(NotFoundError, match="its bucket does not"):
        copy_version("s3://no-such-bucket/run/1", "0" * 64, tmp_path / "here")


def test_a_store_that_does_not_answer_is_worth_another_try(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"})

    with pytest.raises(UnavailableError, match=r"does not answer.*127\.0\.0\.1:9"):
        read_pointer(f"{bucket}/SERVED.json")


def test_an_export_comes_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    store = open_store(bucket)
    weights = Weights(run="r", version=3, uri=store.uri(3), manifest_digest=publish(store, 3))

    export_weights(weights, tmp_path / "model")
    store.remove(3, store.uri(3))
    with pytest.raises(NotFoundError, match=f"not in {store.uri(3)}; old versions are removed"):
        export_weights(weights, tmp_path / "again")

    assert verify(tmp_path / "model", weights.manifest_digest).manifest.version == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
