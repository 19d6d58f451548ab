"""How the trainer ends, for whoever started it."""

import errno
import traceback
from enum import IntEnum

from zeroloop.errors import (
    AlreadyExistsError,
    AuthError,
    ConfigError,
    CorruptDataError,
    InvalidRequestError,
    NotFoundError,
    ZeroloopError,
)


class ExitCode(IntEnum):
    """Exit codes of the trainer."""

    DONE = 0

    CONFIG = 64
    """Settings or data are wrong; starting again cannot help."""

    RETRIABLE = 75
    """Something else failed: a connection, another rank, a disk; start it again."""

    STOPPED = 143
    """Asked to stop, and checkpointed."""


class ReplayMismatchError(CorruptDataError):
    """Training the same batch again gave other weights than those that are registered."""


_PERMANENT = (
    ConfigError,
    InvalidRequestError,
    AuthError,
    NotFoundError,
    AlreadyExistsError,
    CorruptDataError,
)

_LOST_PEER = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "timed out",
    "NCCL",
    "ncclRemoteError",
    "Socket Timeout",
)
"""How gloo, NCCL and torch's store say that another process is gone."""


def exit_code_of(error: BaseException) -> ExitCode | None:
    """The code to end with after `error`; None for a bug, which deserves its traceback."""
    if isinstance(error, _PERMANENT):
        return ExitCode.CONFIG
    if isinstance(error, ZeroloopError):
        return ExitCode.RETRIABLE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return ExitCode.RETRIABLE
    if lost_peer(error):
        return ExitCode.RETRIABLE
    return None


def lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"DistBackendError", "DistNetworkError", "DistStoreError"}:
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST_PEER)


def explain(error: BaseException) -> str:
    """What to print: one line for what a person can mend, else the traceback."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left to write {error.filename or 'a file'}: {error.strerror}; nothing is "
            "half written. Free space (zeroloop prune) and start the trainer again"
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return f"cannot write {error.filename or 'a file'}: {error.strerror}; check the disk"
    if exit_code_of(error) is None:
        return "".join(traceback.format_exception(error))
    return str(error)
