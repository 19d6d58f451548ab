"""The folder in which a service's sandboxes keep their bundles while they live."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"


@contextmanager
def scratch_folder(base: Path) -> Generator[Path]:
    """Yield a new private folder below `base`; remove it afterwards.

    What services that were killed have left behind goes too: the system has released the lock
    that each of them held on its folder.
    """
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in base.iterdir():
        _remove_if_orphaned(folder)
    folder = Path(tempfile.mkdtemp(prefix="service-", dir=base))
    lock = _locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_orphaned(folder: Path) -> None:
    if not (folder / _LOCK).exists():
        return  # just being made
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int | None:
    with contextlib.suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return lock
    return None
