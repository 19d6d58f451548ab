"""A small file that names the version that is served, for engines that start later.

It lies beside the versions: on a disk as here, or in a bucket, see `zeroloop.weights_store`.

It is written after a roll has reached every replica, so an engine that reads it starts with
weights that have passed the gate. Replaced whole: a reader sees the old or the new one.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from zeroloop.errors import CorruptDataError, UnavailableError

FILE_NAME = "SERVED.json"

POINTER_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """A version that was rolled out."""

    version: int
    uri: str
    """Where its files are: a folder, or a URL of a bucket."""

    manifest_digest: str
    """SHA-256 of its manifest.json."""


def point_at(path: Path, served: ServedWeights) -> None:
    """Name a version in the file.

    Raises:
        UnavailableError: The disk does not take it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(pointer_to_bytes(served))
            # A node that loses power must not leave an empty file behind.
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from error


def pointed_at(path: Path) -> ServedWeights | None:
    """The version that the file names; None if there is no file, because none was rolled yet.

    Raises:
        CorruptDataError: It does not say what it should.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptDataError(f"{path} does not name a version of the weights: {error}") from error
    return parse_pointer(content, str(path))


def pointer_to_bytes(served: ServedWeights) -> bytes:
    """The file's content."""
    document = {
        "version": served.version,
        "uri": served.uri,
        "manifest_digest": served.manifest_digest,
    }
    return f"{json.dumps(document)}\n".encode()


def parse_pointer(content: bytes, place: str) -> ServedWeights:
    """The version that a file's content names; `place` is for messages.

    Raises:
        CorruptDataError: It does not say what it should.
    """
    try:
        document = json.loads(content)
        return ServedWeights(
            int(document["version"]), str(document["uri"]), str(document["manifest_digest"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{place} does not name a version of the weights: {error}"
        ) from error
