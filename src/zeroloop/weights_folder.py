"""Weights on disk: writing a version so that it appears whole, and proving what lies there.

    with building(final) as folder:            # the trainer
        model.save_pretrained(folder)
        digest = seal(folder, version=3, parent=2, dtype="float32")

    verified = verify(final, digest)           # whoever is about to load it

A version is a flat folder; `manifest.json` names its files (`zeroloop.core.manifest`).
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zeroloop.core.manifest import (
    MANIFEST_NAME,
    PROBE_NAME,
    FileDigest,
    Manifest,
    ProbeSequence,
    manifest_digest,
    manifest_to_bytes,
    parse_manifest,
    parse_probe,
    probe_to_bytes,
)
from zeroloop.errors import CorruptDataError, NotFoundError

MANIFEST_BYTES_MAX = 4 * 1024 * 1024
"""Thousands of shards fit; a larger file is not a manifest."""

PROBE_BYTES_MAX = 16 * 1024 * 1024

_CHUNK_BYTES = 1024 * 1024
_REMEDY = "restore the file or publish the version again"

_BUILDING = ".building-"


@dataclass(frozen=True, slots=True)
class VerifiedVersion:
    """A version whose every byte agreed with its manifest when it was read."""

    folder: Path
    manifest: Manifest
    digest: str
    """SHA-256 of `manifest.json`, lower-case hexadecimal."""

    size_bytes: int
    """Bytes verified, the manifest included."""

    probe: tuple[ProbeSequence, ...]
    """Empty if the version carries none."""


@contextmanager
def building(final: Path) -> Generator[Path]:
    """Give a new folder beside `final` that takes its place when the block ends well.

    Readers see no folder or the whole one. If the block raises, nothing is left behind.
    An existing `final` is replaced, which makes publishing the same version again safe.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = final.parent / f"{_BUILDING}{final.name}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
        _flush(folder)
        # A folder cannot be renamed over a full one; the old one steps aside first.
        replaced = folder.with_name(f"{folder.name}.replaced")
        if final.exists():
            final.rename(replaced)
        folder.rename(final)
        _flush_path(final.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(parent: Path) -> None:
    """Remove what a killed writer left in `parent`. Only its single writer may call this."""
    for folder in parent.glob(f"{_BUILDING}*"):
        shutil.rmtree(folder, ignore_errors=True)


def write_probe(folder: Path, sequences: tuple[ProbeSequence, ...]) -> None:
    """Write `probe.json`; call it before `seal`, as the manifest covers it."""
    (folder / PROBE_NAME).write_bytes(probe_to_bytes(sequences))


def seal(
    folder: Path,
    *,
    version: int,
    parent: int | None,
    dtype: str,
    base_model: str = "",
    run: str = "",
    traceparent: str = "",
) -> str:
    """Write `manifest.json` over all files of `folder`; return its digest.

    The result depends on the arguments and the files' names and bytes alone.
    """
    manifest = Manifest(
        version=version,
        parent=parent,
        files={path.name: digest_file(path) for path in _content(folder)},
        dtype=dtype,
        base_model=base_model,
        run=run,
        traceparent=traceparent,
    )
    content = manifest_to_bytes(manifest)
    (folder / MANIFEST_NAME).write_bytes(content)
    return manifest_digest(content)


def verify(folder: Path, expected_digest: str | None = None) -> VerifiedVersion:
    """Read every file of a version and compare it with the manifest.

    Args:
        folder: Where the version lies.
        expected_digest: What the registry says about `manifest.json`. None trusts the
            manifest that is there, which still detects damage but no exchange.

    Raises:
        NotFoundError: The folder or its manifest is missing.
        CorruptDataError: A file is missing or differs; the message names it.
    """
    manifest, digest, manifest_bytes = read_manifest(folder, expected_digest)
    for name, stated in manifest.files.items():
        _verify_file(folder / name, stated)
    unnamed = {path.name for path in _content(folder)} - manifest.files.keys()
    if unnamed:
        # An engine may read any file of the folder, also one that nobody vouches for.
        raise CorruptDataError(
            f"{folder} holds {sorted(unnamed)}, which {MANIFEST_NAME} does not name; "
            "remove them or publish the version again"
        )
    size_bytes = manifest_bytes + sum(stated.size_bytes for stated in manifest.files.values())
    return VerifiedVersion(folder, manifest, digest, size_bytes, _read_probe(folder, manifest))


def digest_file(path: Path) -> FileDigest:
    """Return size and SHA-256 of one file."""
    digest = hashlib.sha256()
    size_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return FileDigest(digest.hexdigest(), size_bytes)


def read_manifest(folder: Path, expected_digest: str | None) -> tuple[Manifest, str, int]:
    """Return a version's manifest, its digest and its size in bytes; the files are not read.

    Raises:
        NotFoundError: The folder or its manifest is missing.
        CorruptDataError: It is not the one that was expected.
    """
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise NotFoundError(f"weights folder {folder} does not exist; publish the version first")
    if not path.is_file():
        raise NotFoundError(f"{path} does not exist; {folder} is no published version")
    content = _read_bounded(path, MANIFEST_BYTES_MAX)
    digest = manifest_digest(content)
    if expected_digest is not None and digest != expected_digest:
        raise CorruptDataError(
            f"{path} has SHA-256 {digest}, the registry says {expected_digest}; {_REMEDY}"
        )
    try:
        return parse_manifest(content), digest, len(content)
    except ValueError as error:
        raise CorruptDataError(f"{path}: {error}; {_REMEDY}") from error


def _verify_file(path: Path, stated: FileDigest) -> None:
    if not path.is_file():
        raise CorruptDataError(f"{path} is missing; {_REMEDY}")
    size_bytes = path.stat().st_size
    if size_bytes != stated.size_bytes:
        raise CorruptDataError(
            f"{path} has {size_bytes} bytes, its manifest says {stated.size_bytes}; {_REMEDY}"
        )
    found = digest_file(path)
    if found != stated:
        raise CorruptDataError(
            f"{path} has SHA-256 {found.sha256}, its manifest says {stated.sha256}; {_REMEDY}"
        )


def _read_probe(folder: Path, manifest: Manifest) -> tuple[ProbeSequence, ...]:
    if PROBE_NAME not in manifest.files:
        return ()
    try:
        return parse_probe(_read_bounded(folder / PROBE_NAME, PROBE_BYTES_MAX))
    except ValueError as error:
        raise CorruptDataError(f"{folder / PROBE_NAME}: {error}") from error


def _read_bounded(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise CorruptDataError(f"{path} has more than {bytes_max} bytes; that is no {path.name}")
    return content


def _content(folder: Path) -> list[Path]:
    """Every file of a version but its manifest, sorted by name."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.is_symlink():
            raise CorruptDataError(f"{path} is no plain file; a version is a flat folder of files")
        if path.name != MANIFEST_NAME:
            found.append(path)
    return found


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        _flush_path(path)
    _flush_path(folder)


def _flush_path(path: Path) -> None:
    """Ask the disk to keep it: a version that was announced must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
