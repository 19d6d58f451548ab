"""Objects below one URL of a bucket, by fsspec: S3, Google Cloud Storage and their like.

Credentials, region and endpoint are the environment's business, under the names that each
store's own tools read: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS.
"""

import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zeroloop._bucket_errors import translated
from zeroloop.errors import CorruptDataError, NotFoundError, UnavailableError

_S3 = {
    # Memory: files at once, times this, times 50 MiB for what is written, and the size below for
    # what is read.
    "max_concurrency": 2,
    "default_block_size": 16 * 1024 * 1024,
}

_OPTIONS = {"s3": _S3, "s3a": _S3}
"""Of the file systems, by protocol."""

_TALKATIVE = ("botocore", "aiobotocore", "s3fs", "gcsfs", "google", "urllib3", "fsspec")
"""Loggers that write requests with their headers, session tokens among them, at DEBUG."""

_opening = threading.Lock()


class Bucket:
    """Every method may be repeated, from any thread. Names are relative to `url`.

    Raises of every method:
        UnavailableError: The store does not answer.
        FailedPreconditionError: It refuses access.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, name: str, target: Path, *, bytes_max: int, stopped: Callable[[], bool]) -> None:
        """Write an object to a new file, in pieces.

        Raises:
            NotFoundError: There is no such object.
            CorruptDataError: It has more than `bytes_max` bytes.
        """
        url = f"{self.url}/{name}"
        require_life(url, stopped)
        with translated(url):
            files, path = self._file(name)
            _require_size(url, files.info(path)["size"], bytes_max)
            files.get_file(path, str(target), callback=_until(url, stopped))

    def read(self, name: str, *, bytes_max: int) -> bytes:
        """Return a small object; raises as `get` does."""
        url = f"{self.url}/{name}"
        with translated(url):
            files, path = self._file(name)
            _require_size(url, files.info(path)["size"], bytes_max)
            return files.cat_file(path)

    def put(self, source: Path, name: str) -> None:
        """Make an object of a file; it appears whole.

        Raises:
            NotFoundError: There is no such bucket.
        """
        with translated(f"{self.url}/{name}"):
            files, path = self._file(name)
            files.put_file(str(source), path)

    def write(self, name: str, content: bytes) -> None:
        """Make a small object; raises as `put` does."""
        with translated(f"{self.url}/{name}"):
            files, path = self._file(name)
            files.pipe_file(path, content)

    def names(self, below: str) -> list[str]:
        """Names of the objects directly below `below`; empty if there is nothing."""
        try:
            with translated(f"{self.url}/{below}"):
                files, path = self._file(below)
                found = files.ls(path, detail=True, refresh=True)
        except NotFoundError:
            return []
        paths = [str(entry["name"]) for entry in found if entry["type"] == "file"]
        return [each.removeprefix(f"{path}/") for each in paths if each.startswith(f"{path}/")]

    def delete(self, name: str) -> None:
        """Remove one object, if it is there."""
        try:
            with translated(f"{self.url}/{name}"):
                files, path = self._file(name)
                files.rm_file(path)
        except NotFoundError:
            return

    def _file(self, name: str) -> tuple[Any, str]:
        """The file system, and a name as it wants it."""
        from fsspec.core import strip_protocol

        with _opening:
            files = file_system(self.url.partition("://")[0])
        return files, strip_protocol(f"{self.url}/{name}")


def require_life(url: str, stopped: Callable[[], bool]) -> None:
    """Raise UnavailableError once `stopped()` is true."""
    if stopped():
        raise UnavailableError(f"the copy of {url} was given up")


@functools.cache
def file_system(protocol: str) -> Any:
    """The one client of this process for a protocol: making one takes half a second."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    options = _OPTIONS.get(protocol, {})
    # Others write to the bucket, so no listing is remembered. fsspec's own cache is per thread.
    return _kind(protocol)(skip_instance_cache=True, use_listings_cache=False, **options)


def _kind(protocol: str) -> Any:
    if protocol in {"gs", "gcs"}:
        # The class that gcsfs registers asks another API, with rights of its own, what kind of
        # bucket this is.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem
    from fsspec import get_filesystem_class

    return get_filesystem_class(protocol)


def _require_size(url: str, size_bytes: int, bytes_max: int) -> None:
    if size_bytes > bytes_max:
        raise CorruptDataError(
            f"{url} has {size_bytes} bytes, at most {bytes_max} were expected; publish the "
            "version again"
        )


def _until(url: str, stopped: Callable[[], bool]) -> Any:
    """A callback of fsspec that ends a transfer between two pieces."""
    from fsspec.callbacks import Callback

    class Until(Callback):
        def relative_update(self, inc: int = 1) -> None:
            require_life(url, stopped)

    return Until()
