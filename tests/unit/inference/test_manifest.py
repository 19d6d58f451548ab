"""The manifest and the probe: what is written comes back, what is broken is named."""

import json
from pathlib import Path

import pytest

from zeroloop.core.manifest import (
    FileDigest,
    Manifest,
    ProbeSequence,
    manifest_to_bytes,
    parse_manifest,
    parse_probe,
    probe_to_bytes,
)
from zeroloop.errors import CorruptDataError, NotFoundError
from zeroloop.weights_folder import (
    building,
    remove_unfinished,
    seal,
    verify,
    write_probe,
)

MANIFEST = Manifest(
    version=3,
    parent=2,
    files={"model.safetensors": FileDigest("a" * 64, 12)},
    dtype="float32",
    base_model="seedling",
    run="first",
    traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
)
PROBE = (ProbeSequence((5, 6, 7), 1, (-0.5, -1.25)),)


def test_a_manifest_survives_the_round_trip() -> None:
    assert parse_manifest(manifest_to_bytes(MANIFEST)) == MANIFEST


def test_equal_manifests_have_equal_bytes() -> None:
    swapped = Manifest(1, None, {"b": FileDigest("b" * 64, 1), "a": FileDigest("a" * 64, 1)}, "f")
    sorted_ = Manifest(1, None, {"a": FileDigest("a" * 64, 1), "b": FileDigest("b" * 64, 1)}, "f")
    assert manifest_to_bytes(swapped) == manifest_to_bytes(sorted_)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": -1}, "version"),
        ({"version": True}, "version"),
        ({"parent": "2"}, "parent"),
        ({"files": {}}, "files"),
        ({"files": {"../up": {"sha256": "a" * 64, "bytes": 1}}}, "../up"),
        (
            {"files": {"manifest.json": {"sha256": "a" * 64, "bytes": 1}}},
            "manifest.json",
        ),
        ({"files": {"m": {"sha256": "A" * 64, "bytes": 1}}}, "sha256"),
        ({"files": {"m": {"sha256": "a" * 64}}}, "bytes"),
        ({"dtype": None}, "dtype"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_broken_manifest_is_refused_and_the_field_named(
    change: dict[str, object], named: str
) -> None:
    document = json.loads(manifest_to_bytes(MANIFEST)) | change
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        parse_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_an_object_is_no_manifest(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json"):
        parse_manifest(content)


def test_a_probe_survives_the_round_trip() -> None:
    assert parse_probe(probe_to_bytes(PROBE)) == PROBE


@pytest.mark.parametrize(
    "sequence",
    [
        {"token_ids": [1, 2], "prompt_tokens": 0, "logprobs": [-1.0, -1.0]},
        {"token_ids": [1, 2], "prompt_tokens": 1, "logprobs": []},
        {"token_ids": [1, 2], "prompt_tokens": 2, "logprobs": []},
        {"token_ids": [1, -2], "prompt_tokens": 1, "logprobs": [-1.0]},
        {"token_ids": [1, 2], "prompt_tokens": 1, "logprobs": ["x"]},
    ],
)
def test_a_probe_that_does_not_align_is_refused(sequence: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sequences"):
        parse_probe(json.dumps({"sequences": [sequence]}).encode())


def test_a_probe_cannot_hold_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        probe_to_bytes((ProbeSequence((1, 2), 1, (float("nan"),)),))
    with pytest.raises(ValueError, match="logprobs"):
        parse_probe(b'{"sequences":[{"token_ids":[1,2],"prompt_tokens":1,"logprobs":[NaN]}]}')


def publish(final: Path) -> str:
    with building(final) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_bytes(b"{}")
        write_probe(folder, PROBE)
        return seal(folder, version=1, parent=0, dtype="float32")


def test_a_published_version_verifies(tmp_path: Path) -> None:
    digest = publish(tmp_path / "1")
    verified = verify(tmp_path / "1", digest)
    assert verified.manifest.version == 1
    assert set(verified.manifest.files) == {
        "model.safetensors",
        "config.json",
        "probe.json",
    }
    assert verified.probe == PROBE
    assert verified.size_bytes == sum(file.stat().st_size for file in (tmp_path / "1").iterdir())
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_publishing_again_replaces_and_gives_the_same_digest(tmp_path: Path) -> None:
    assert publish(tmp_path / "1") == publish(tmp_path / "1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def fill_the_disk(final: Path) -> None:
    with building(final) as folder:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("disk full")


def test_a_failed_build_leaves_the_old_version_and_nothing_else(tmp_path: Path) -> None:
    digest = publish(tmp_path / "1")
    with pytest.raises(OSError, match="full"):
        fill_the_disk(tmp_path / "1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    verify(tmp_path / "1", digest)


def test_what_a_killed_writer_left_can_be_removed(tmp_path: Path) -> None:
    publish(tmp_path / "1")
    context = building(tmp_path / "2")
    context.__enter__()
    remove_unfinished(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_damage_is_named(tmp_path: Path) -> None:
    digest = publish(tmp_path / "1")
    weights = tmp_path / "1" / "model.safetensors"
    weights.write_bytes(b"weightZ")
    with pytest.raises(CorruptDataError, match=r"model\.safetensors has SHA-256"):
        verify(tmp_path / "1", digest)
    weights.write_bytes(b"short")
    with pytest.raises(CorruptDataError, match=r"model\.safetensors has 5 bytes"):
        verify(tmp_path / "1", digest)
    weights.unlink()
    with pytest.raises(CorruptDataError, match=r"model\.safetensors is missing"):
        verify(tmp_path / "1", digest)


def test_a_file_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    digest = publish(tmp_path / "1")
    (tmp_path / "1" / "modeling_evil.py").write_text("")
    with pytest.raises(CorruptDataError, match=r"modeling_evil\.py"):
        verify(tmp_path / "1", digest)


def test_another_manifest_than_the_registrys_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "1")
    with pytest.raises(CorruptDataError, match="registry"):
        verify(tmp_path / "1", "0" * 64)


def test_a_missing_version_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        verify(tmp_path / "7")
    (tmp_path / "7").mkdir()
    with pytest.raises(NotFoundError, match=r"manifest\.json"):
        verify(tmp_path / "7")
