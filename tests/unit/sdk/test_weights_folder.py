"""An exported version is whole and verified, or not there at all."""

from hashlib import sha256
from pathlib import Path

import pytest

from zeroloop._weights_folder import export_weights
from zeroloop.core.batches import Weights
from zeroloop.core.manifest import FileDigest, Manifest, manifest_digest, manifest_to_bytes
from zeroloop.errors import AlreadyExistsError, CorruptDataError, NotFoundError

FILES = {"config.json": b"{}", "model.safetensors": b"\x00" * 3_000_000}


def publish(folder: Path, uri: str | None = None) -> Weights:
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    digests = {n: FileDigest(sha256(c).hexdigest(), len(c)) for n, c in FILES.items()}
    content = manifest_to_bytes(Manifest(version=3, parent=2, files=digests, dtype="float32"))
    (folder / "manifest.json").write_bytes(content)
    return Weights(
        run="demo", version=3, uri=uri or str(folder), manifest_digest=manifest_digest(content)
    )


def test_an_export_has_every_file_and_the_manifest(tmp_path: Path) -> None:
    weights = publish(tmp_path / "3")

    export_weights(weights, tmp_path / "out" / "v3")

    there = {path.name for path in (tmp_path / "out" / "v3").iterdir()}
    assert there == {*FILES, "manifest.json"}
    assert (tmp_path / "out" / "v3" / "model.safetensors").read_bytes() == FILES[
        "model.safetensors"
    ]


def test_a_file_uri_is_a_folder_too(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    weights = publish(folder, folder.as_uri())

    export_weights(weights, tmp_path / "out")

    assert (tmp_path / "out" / "config.json").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json"])
def test_a_damaged_file_is_named_and_nothing_is_left_behind(tmp_path: Path, name: str) -> None:
    weights = publish(tmp_path / "3")
    path = tmp_path / "3" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")

    with pytest.raises(CorruptDataError, match=f"{name} has SHA-256"):
        export_weights(weights, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    weights = publish(tmp_path / "3")
    (tmp_path / "3" / "config.json").unlink()

    with pytest.raises(CorruptDataError, match=r"config\.json is missing"):
        export_weights(weights, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    weights = publish(tmp_path / "3")

    with pytest.raises(AlreadyExistsError, match="exists already"):
        export_weights(weights, tmp_path / "3")


def test_files_that_were_removed_are_told_apart_from_damage(tmp_path: Path) -> None:
    weights = Weights(run="demo", version=1, uri=str(tmp_path / "1"), manifest_digest="0" * 64)

    with pytest.raises(NotFoundError, match="old versions are removed"):
        export_weights(weights, tmp_path / "out")
