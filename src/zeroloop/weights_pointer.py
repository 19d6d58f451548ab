"""A small file that names the version that is served, for engines that start later.

It is written after a roll has reached every replica, so an engine that reads it starts with
weights that have passed the gate. Replaced whole: a reader sees the old or the new one.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from zeroloop.errors import CorruptDataError, UnavailableError

FILE_NAME = "SERVED.json"


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """A version that was rolled out."""

    version: int
    uri: str
    """Folder of its files."""

    manifest_digest: str
    """SHA-256 of its manifest.json."""


def point_at(path: Path, served: ServedWeights) -> None:
    """Name a version in the file.

    Raises:
        UnavailableError: The disk does not take it.
    """
    document = {
        "version": served.version,
        "uri": served.uri,
        "manifest_digest": served.manifest_digest,
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
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
        document = json.loads(path.read_text("utf-8"))
        return ServedWeights(
            int(document["version"]), str(document["uri"]), str(document["manifest_digest"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{path} does not name a version of the weights: {error}") from error
