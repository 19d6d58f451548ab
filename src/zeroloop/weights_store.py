"""Where the versions of a run's weights lie: a folder that is shared, or a bucket.

    store = open_store("s3://bucket/weights/demo")      # or a folder
    with store.writing(3) as folder:                    # the trainer
        model.save_pretrained(folder)
        digest = seal(folder, version=3, parent=2, dtype="float32")
    weights_copy.copy_version(store.uri(3), digest, here)   # whoever needs the files on a disk
    store.remove(3, store.uri(3))                       # retention

A reader sees a whole version or none, and trusts it by its digests alone.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from zeroloop._bucket import Bucket
from zeroloop._bucket_urls import is_url, local_folder, problem_of
from zeroloop.core.manifest import MANIFEST_NAME
from zeroloop.errors import FailedPreconditionError, NotFoundError
from zeroloop.weights_copy import each
from zeroloop.weights_folder import building, remove_unfinished
from zeroloop.weights_pointer import (
    POINTER_BYTES_MAX,
    ServedWeights,
    parse_pointer,
    point_at,
    pointed_at,
    pointer_to_bytes,
)

_SCRATCH = ".building-"


class WeightsStore(Protocol):
    """Versions of one run, by number. A single writer; readers go by URI, see `copy_version`.

    Besides what a docstring names, every method raises

        UnavailableError: the store or the disk does not answer or has no room; try again.
        FailedPreconditionError: the store refuses access; says what to set.
    """

    def uri(self, version: int) -> str:
        """What the registry says of where a version lies."""
        ...

    def writing(self, version: int) -> AbstractContextManager[Path]:
        """Give an empty folder that becomes the version when the block ends well.

        If it raises, readers see no version, or the one that was there before. Writing a
        version again replaces it.

        Raises:
            NotFoundError: There is no such bucket.
        """
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """Give an empty folder that is thrown away afterwards."""
        ...

    def clear_unfinished(self) -> None:
        """Remove what a killed writer left on this machine's disks."""
        ...

    def remove(self, version: int, uri: str) -> bool:
        """Remove a version; again, it changes nothing.

        Returns:
            False if `uri` is not where this store keeps that version: nothing was touched.
        """
        ...


def open_store(place: str | Path, *, scratch: Path | None = None) -> WeightsStore:
    """Return the store of one run. Nothing is called before it is used.

    Args:
        place: Folder, or URL of a prefix of a bucket, for instance `s3://bucket/weights/demo`.
        scratch: For a bucket, folder of this process alone in which versions are put together;
            None takes the system's temporary one.

    Raises:
        FailedPreconditionError: It is no URL that can be used here; says what to install.
    """
    text = str(place)
    if not is_url(text):
        return FolderStore(local_folder(text))
    if problem := problem_of(text):
        raise FailedPreconditionError(f"weights at {problem}")
    return BucketStore(text, scratch)


def checked_place(place: str) -> str:
    """Return `place` if weights can be kept there, for settings.

    Raises:
        ValueError: It is a URL that cannot be used here; says what to install or to change.
    """
    if is_url(place) and (problem := problem_of(place)):
        raise ValueError(problem)
    return place


class FolderStore:
    """Versions as sub-folders of one folder, which writers and readers mount."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, version: int) -> str:
        """See `WeightsStore`."""
        return str((self._root / str(version)).absolute())

    def writing(self, version: int) -> AbstractContextManager[Path]:
        """See `WeightsStore`."""
        return building(self._root / str(version))

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """See `WeightsStore`."""
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._root) as folder:
            yield Path(folder)

    def clear_unfinished(self) -> None:
        """See `WeightsStore`."""
        remove_unfinished(self._root)

    def remove(self, version: int, uri: str) -> bool:
        """See `WeightsStore`."""
        if is_url(uri):
            return False
        folder = local_folder(uri)
        if not folder.is_absolute() or folder.resolve() != self._root.resolve() / str(version):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True


class BucketStore:
    """Versions as objects below one URL: the files first, the manifest last.

    A version without its manifest is none, so a writer that dies leaves nothing that a reader
    would take for a version; what it left is removed before the version is written again.
    """

    def __init__(self, root: str, scratch: Path | None = None) -> None:
        self._bucket = Bucket(root)
        self._scratch = scratch

    def uri(self, version: int) -> str:
        """See `WeightsStore`."""
        return f"{self._bucket.url}/{version}"

    @contextmanager
    def writing(self, version: int) -> Generator[Path]:
        """See `WeightsStore`."""
        with self.scratch() as folder:
            yield folder
            self._clear(version)
            names = [path.name for path in folder.iterdir() if path.name != MANIFEST_NAME]
            each(names, lambda name, _: self._bucket.put(folder / name, f"{version}/{name}"))
            self._bucket.put(folder / MANIFEST_NAME, f"{version}/{MANIFEST_NAME}")

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """See `WeightsStore`."""
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._scratch) as folder:
            yield Path(folder)

    def clear_unfinished(self) -> None:
        """See `WeightsStore`. The system's temporary folder is not ours to clear."""
        if self._scratch is not None:
            remove_unfinished(self._scratch)

    def remove(self, version: int, uri: str) -> bool:
        """See `WeightsStore`."""
        if uri != self.uri(version):
            return False
        self._clear(version)
        return True

    def _clear(self, version: int) -> None:
        names = self._bucket.names(str(version))
        # The manifest first: no reader may begin with a version that is going.
        for name in sorted(names, key=lambda name: name != MANIFEST_NAME):
            self._bucket.delete(f"{version}/{name}")


# ---- which version is served


def write_pointer(place: str | Path, served: ServedWeights) -> None:
    """Name a version in the file or object `place`, see `zeroloop.weights_pointer`.

    Raises:
        UnavailableError: The disk or the store does not take it.
        NotFoundError: There is no such bucket.
        FailedPreconditionError: The store refuses it.
    """
    parent, _, name = str(place).rpartition("/")
    if is_url(str(place)):
        Bucket(parent).write(name, pointer_to_bytes(served))
    else:
        point_at(Path(place), served)


def read_pointer(place: str | Path) -> ServedWeights | None:
    """The version that it names; None if there is no pointer, because none was rolled yet.

    Raises:
        CorruptDataError: It does not say what it should.
        UnavailableError: The store does not answer: nobody knows whether there is one.
        FailedPreconditionError: The store refuses to say.
    """
    parent, _, name = str(place).rpartition("/")
    if not is_url(str(place)):
        return pointed_at(Path(place))
    with contextlib.suppress(NotFoundError):
        return parse_pointer(Bucket(parent).read(name, bytes_max=POINTER_BYTES_MAX), str(place))
    return None
