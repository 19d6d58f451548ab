"""Copying a version of the weights, trusting only bytes whose digests agree."""

import hashlib
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeroloop.core.batches import Weights
from zeroloop.core.manifest import MANIFEST_NAME, Manifest
from zeroloop.errors import (
    AlreadyExistsError,
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
)
from zeroloop.weights_folder import building, read_manifest

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
    if not (source / MANIFEST_NAME).is_file():
        raise NotFoundError(
            f"the files of weights v{weights.version} are not in {source}; old versions are "
            "removed, `zeroloop weights list` shows which are kept"
        )
    manifest, _, _ = read_manifest(source, weights.manifest_digest)
    with building(target) as folder:
        for name, stated in manifest.files.items():
            digest = _copy(source / name, folder / name)
            if digest != stated.sha256:
                raise CorruptDataError(
                    f"{source / name} has SHA-256 {digest}, the manifest of weights "
                    f"v{weights.version} says {stated.sha256}; nothing was exported"
                )
        shutil.copyfile(source / MANIFEST_NAME, folder / MANIFEST_NAME)
    return manifest


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
