"""Copying a version of the weights, trusting only bytes whose digests agree."""

import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeroloop.core.batches import Weights
from zeroloop.core.manifest import MANIFEST_NAME, Manifest, manifest_digest, parse_manifest
from zeroloop.errors import (
    AlreadyExistsError,
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
)

_CHUNK_BYTES = 1024 * 1024


def export_weights(weights: Weights, target: Path) -> Manifest:
    """Copy a version into a new folder; it appears whole and verified, or not at all.

    Raises:
        AlreadyExistsError: `target` exists.
        NotFoundError: The version's files are gone.
        FailedPreconditionError: They lie in a store that this machine cannot read.
        CorruptDataError: A file does not match its digest.
    """
    if target.exists():
        raise AlreadyExistsError(f"{target} exists already; choose another folder or remove it")
    source = local_folder(weights.uri)
    manifest = verified_manifest(source, weights)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        for name, expected in manifest.files.items():
            digest = _copy(source / name, draft / name)
            if digest != expected.sha256:
                raise CorruptDataError(
                    f"{source / name} is damaged: its SHA-256 is {digest}, the manifest of "
                    f"weights v{weights.version} says {expected.sha256}; nothing was exported"
                )
        shutil.copyfile(source / MANIFEST_NAME, draft / MANIFEST_NAME)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def verified_manifest(folder: Path, weights: Weights) -> Manifest:
    """Return the manifest in `folder` if it is the one that was registered."""
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"the files of weights v{weights.version} are not in {folder}: {error.strerror}; old "
            "versions are removed, `zeroloop weights list` shows which are kept"
        ) from error
    if (digest := manifest_digest(content)) != weights.manifest_digest:
        raise CorruptDataError(
            f"{folder / MANIFEST_NAME} is damaged: its SHA-256 is {digest}, the registry says "
            f"{weights.manifest_digest}"
        )
    try:
        return parse_manifest(content)
    except ValueError as error:
        raise CorruptDataError(f"{folder / MANIFEST_NAME} is damaged: {error}") from error


def local_folder(uri: str) -> Path:
    """Return the folder that `uri` names."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise FailedPreconditionError(
            f"these weights lie at {uri}; export them where that store is mounted"
        )
    return Path(unquote(parts.path) if parts.scheme else uri)


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of what was written."""
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                digest.update(chunk)
                writer.write(chunk)
    except FileNotFoundError as error:
        raise CorruptDataError(
            f"{source} is missing though the manifest names it; nothing was exported"
        ) from error
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot copy {source} to {target}: {error.strerror}; nothing was exported"
        ) from error
    return digest.hexdigest()
