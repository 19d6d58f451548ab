"""What the libraries of object stores raise, as errors of ours.

None of these libraries may be imported here, so their errors are told by name and status.
"""

import errno
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from zeroloop.errors import (
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    ZeroloopError,
)

_LIBRARIES = {
    *("botocore", "aiobotocore", "s3fs", "gcsfs", "google", "fsspec", "aiohttp", "requests"),
    *("urllib3", "adlfs", "azure"),
}
"""First part of the modules whose errors say something of the store; others are bugs of ours."""

_NO_CREDENTIALS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("TokenRetrievalError", "DefaultCredentialsError", "RefreshError", "NoRegionError"),
}

_WORTH_ANOTHER_TRY = {408, 409, 425, 429}
"""The other statuses from 400 to 499 say that the request itself is wrong."""

_TEXT_CHARS_MAX = 300


@contextmanager
def translated(url: str) -> Generator[None]:
    """Raise ours for what fails in the block.

    Raises:
        NotFoundError: The object or its bucket does not exist.
        FailedPreconditionError: The store refuses access or the request.
        UnavailableError: It does not answer, is overloaded, or a disk here is full.
    """
    try:
        yield
    except Exception as error:
        found = error_of(error, url)
        if found is None:
            raise
        raise found from error


def error_of(error: Exception, url: str) -> ZeroloopError | None:
    """The error of ours for `error`, which something at `url` raised; None for a bug."""
    if isinstance(error, ZeroloopError) or not _of_the_store(error):
        return None
    status, said = _status(error), _said(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"no space left on this machine for a copy of {url}; free some")
    if isinstance(error, FileNotFoundError) or status == 404:
        return NotFoundError(f"{url} does not exist, or its bucket does not ({said})")
    if _refused(error, status):
        return FailedPreconditionError(
            f"the store refuses access to {url} ({said}); check the credentials and what they may "
            "do: readers list and get, the trainer and the controller put and delete, too"
        )
    if status is not None and 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY:
        return FailedPreconditionError(
            f"the store refuses the request for {url} ({said}); check bucket, region and endpoint"
        )
    return UnavailableError(f"the store of {url} does not answer as it should ({said}); try again")


def _of_the_store(error: Exception) -> bool:
    library = type(error).__module__.partition(".")[0]
    # gcsfs says ValueError where the store says that the request is bad.
    bad = isinstance(error, ValueError) and str(error).startswith("Bad Request")
    return isinstance(error, OSError) or library in _LIBRARIES or bad


def _refused(error: Exception, status: int | None) -> bool:
    if isinstance(error, PermissionError) or status in (401, 403):
        return True
    if {kind.__name__ for kind in type(error).__mro__} & _NO_CREDENTIALS:
        return True
    # gcsfs has no status where the store says 403.
    return str(error).startswith("Forbidden")


def _status(error: Exception) -> int | None:
    """The HTTP status that the store answered with, where it can be found."""
    if str(error).startswith("Bad Request"):
        return 400
    for each in (error, error.__cause__):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict):
            found: Any = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(each, "code", None) or getattr(each, "status", None)
        if str(found).isdigit():
            return int(found)
    return None


def _said(error: Exception) -> str:
    """The library's words, one line of them and without the query of a URL: that may be signed."""
    text = re.sub(r"\?\S+", "?...", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:_TEXT_CHARS_MAX]}"
