"""Copying a version of the weights from wherever it lies: whole and verified, or not at all."""

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from zeroloop._bucket import Bucket, require_life
from zeroloop._bucket_urls import is_url, local_folder, problem_of
from zeroloop.core.manifest import MANIFEST_NAME, Manifest
from zeroloop.errors import (
    CorruptDataError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from zeroloop.weights_folder import (
    MANIFEST_BYTES_MAX,
    VerifiedVersion,
    building,
    read_manifest,
    verify,
)

FILES_AT_ONCE = 4
"""Files of a version that are on their way at once."""

_CHUNK_BYTES = 1024 * 1024

Stopped = Callable[[], bool]
"""Whether a copy that runs should be given up."""


class VersionFiles(Protocol):
    """The files of one version, to read."""

    def get(self, name: str, target: Path, *, bytes_max: int, stopped: Stopped) -> None:
        """Copy one file to a new one.

        Raises:
            NotFoundError: It is not there.
            CorruptDataError: It has more than `bytes_max` bytes.
            UnavailableError: The store does not answer, or `stopped()` became true.
            FailedPreconditionError: It cannot be read; says why.
        """
        ...


class FolderFiles:
    """A version in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, target: Path, *, bytes_max: int, stopped: Stopped) -> None:
        """See `VersionFiles`."""
        source, left = self._folder / name, bytes_max
        try:
            with source.open("rb") as reader, target.open("xb") as writer:
                while chunk := reader.read(_CHUNK_BYTES):
                    require_life(str(source), stopped)
                    left -= len(chunk)
                    if left < 0:
                        raise CorruptDataError(f"{source} has more than {bytes_max} bytes")
                    writer.write(chunk)
        except FileNotFoundError as error:
            raise NotFoundError(f"{source} does not exist") from error
        except OSError as error:
            raise FailedPreconditionError(
                f"cannot copy {source} to {target}: {error.strerror}"
            ) from error


def copy_version(
    uri: str, digest: str, target: Path, *, stopped: Stopped = lambda: False
) -> VerifiedVersion:
    """Copy a version from wherever it lies; it appears whole and verified, or not at all.

    Args:
        uri: As the registry has it: a path, a file:// URL or one of a bucket.
        digest: What the registry says about its manifest.
        target: New folder; its parent must have room for the version.
        stopped: Asked now and then whether to give up.

    Raises:
        NotFoundError: There is no version.
        CorruptDataError: A file is missing or does not match its digest; names it.
        UnavailableError: The store does not answer or the disk is full; try again.
        FailedPreconditionError: The store cannot be read from here; says what to set.
    """
    files = files_at(uri)
    with building(target) as folder:
        try:
            _get_all(files, digest, folder, stopped)
            verified = verify(folder, digest)
        except CorruptDataError as error:
            # Where it lies, not where this copy of it would have.
            raise CorruptDataError(str(error).replace(str(folder), uri)) from error
    return replace(verified, folder=target)


def files_at(uri: str) -> VersionFiles:
    """Return the files of the version at `uri`.

    Raises:
        FailedPreconditionError: It is no URL that can be used here; says what to install.
    """
    if not is_url(uri):
        return FolderFiles(local_folder(uri))
    if problem := problem_of(uri):
        raise FailedPreconditionError(f"weights at {problem}")
    return Bucket(uri)


def _get_all(files: VersionFiles, digest: str, folder: Path, stopped: Stopped) -> None:
    path = folder / MANIFEST_NAME
    files.get(MANIFEST_NAME, path, bytes_max=MANIFEST_BYTES_MAX, stopped=stopped)
    manifest, _, _ = read_manifest(folder, digest)
    _require_room(folder, manifest)

    def get(name: str, failed: Stopped) -> None:
        stated = manifest.files[name].size_bytes
        try:
            files.get(name, folder / name, bytes_max=stated, stopped=lambda: stopped() or failed())
        except NotFoundError as error:
            raise CorruptDataError(
                f"{folder / name} is missing though the manifest names it; publish the version "
                "again"
            ) from error

    each(list(manifest.files), get)


def _require_room(folder: Path, manifest: Manifest) -> None:
    needed = sum(stated.size_bytes for stated in manifest.files.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UnavailableError(
            f"version {manifest.version} of the weights has {needed} bytes, {folder.parent} has "
            f"room for {free}; enlarge that volume or free space"
        )


def each(names: Sequence[str], do: Callable[[str, Stopped], None]) -> None:
    """Call `do(name, failed)` for every name, some at once; the first failure ends the others."""
    errors: list[BaseException] = []
    failed = threading.Event()

    def one(name: str) -> None:
        if failed.is_set():
            return
        try:
            do(name, failed.is_set)
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)
            failed.set()

    with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="weights") as pool:
        list(pool.map(one, names))
    if errors:
        raise errors[0]
