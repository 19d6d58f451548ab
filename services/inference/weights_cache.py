"""Versions of the weights from a bucket, on a disk of this process.

A version lies in a folder that is named for the digest of its manifest, and appears there whole
and verified. A process that starts again in the same place finds what it had.
"""

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zeroloop.errors import CorruptDataError
from zeroloop.weights_copy import copy_version
from zeroloop.weights_folder import VerifiedVersion, remove_unfinished, verify
from zeroloop.weights_store import is_url, local_folder

logger = logging.getLogger(__name__)


class WeightsCache:
    """The copies in one folder, which belongs to one process. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self._closed = threading.Event()

    def fetch(self, uri: str, digest: str, in_use: Collection[str] = ()) -> VerifiedVersion:
        """Return a version whose files are on this machine, verified just now.

        What lies on this machine anyway is used where it lies. Anything else is copied first,
        and before that all copies but those of folders `in_use` are removed. A caller that
        gives up waiting and asks again finds the copy that went on meanwhile.

        Raises:
            NotFoundError: There is no version.
            CorruptDataError: A file is missing or does not match its digest; names it.
            UnavailableError: The store does not answer, or the disk is full.
            FailedPreconditionError: The store cannot be read from here.
        """
        if not is_url(uri):
            return verify(local_folder(uri), digest or None)
        with self._one_at_a_time:
            target = self._folder / digest
            self._remove_all_but({*in_use, str(target)})
            if target.is_dir():
                try:
                    return verify(target, digest)
                except CorruptDataError as error:
                    logger.warning("weights_copy_damaged", extra={"why": str(error)})
                    shutil.rmtree(target)
            began_s = time.monotonic()
            version = copy_version(uri, digest, target, stopped=self._closed.is_set)
            took = {"size_bytes": version.size_bytes, "duration_s": time.monotonic() - began_s}
            logger.info("weights_copied", extra={"uri": uri, **took})
            return version

    def close(self) -> None:
        """End the copy that runs, if any; it leaves nothing behind."""
        self._closed.set()

    def _remove_all_but(self, kept: Collection[str]) -> None:
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if str(folder) not in kept:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def weights_cache(folder: Path | None) -> Generator[WeightsCache]:
    """Open a cache in `folder`; None makes a folder that goes when the block ends."""
    with ExitStack() as stack:
        if folder is None:
            # A copy that is given up may write its last piece while the folder goes.
            name = tempfile.TemporaryDirectory(
                prefix="zeroloop-weights-", ignore_cleanup_errors=True
            )
            folder = Path(stack.enter_context(name))
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        cache = WeightsCache(folder)
        stack.callback(cache.close)
        yield cache
