"""What requests may ask for, and the errors that say so."""

import math

from zeroloop.errors import InvalidRequestError, invalid

RUN_CHARS_MAX = 128
"""Longest name of a run."""

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

PAGE_BYTES_MAX = 16 * 1024 * 1024
"""Text in one page of tasks; a page ends early rather than exceed the message limit."""

SAMPLE_COUNT_MAX = 4096
SAMPLE_DRAWS_MAX = 4096

SAMPLE_INDEXES_MAX = 1024 * 1024
"""Tasks drawn in one call, over all draws."""

SAMPLE_BYTES_MAX = 48 * 1024 * 1024
"""Text in one answer of SampleTasks; the message limit is 64 MiB."""

LEASE_S_MIN = 1.0
LEASE_S_MAX = 3600.0
WAIT_S_MAX = 600.0

EPISODE_TOKENS_MAX = 1024 * 1024
"""Tokens of a prompt or a response."""


def require_run(run: str) -> None:
    """Raise unless `run` can name a run."""
    if not 1 <= len(run) <= RUN_CHARS_MAX or not run.isprintable():
        raise invalid("run", f"must be 1 to {RUN_CHARS_MAX} printable characters, got {run!r}")


def require_range(field: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise unless low <= value <= high."""
    if low <= value <= high:
        return
    bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
    raise invalid(field, f"must be {bounds}, got {value:g}")


def page_size(requested: int) -> int:
    """The size of a page for what was requested; 0 means the default."""
    require_range("page_size", requested, 0, PAGE_SIZE_MAX)
    return requested or PAGE_SIZE_DEFAULT


def page_start(token: str) -> int | None:
    """The number that a page token holds, None for the first page.

    Raises:
        InvalidRequestError: The token is not one that a list has answered.
    """
    if not token:
        return None
    try:
        return int(token)
    except ValueError as error:
        raise InvalidRequestError(
            f"page_token: must be the next_page_token of the page before, got {token!r}"
        ) from error
