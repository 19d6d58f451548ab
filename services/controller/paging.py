"""Pages of lists: how long they are, and tokens that lead to the next one."""

from zeroloop.errors import InvalidRequestError, invalid

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


def size_of(page_size: int) -> int:
    """Return how many items a page holds that was asked for with `page_size`.

    Raises:
        InvalidRequestError: It is out of range.
    """
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise invalid("page_size", f"must be 0 to {PAGE_SIZE_MAX}, got {page_size}")
    return page_size or PAGE_SIZE


def strange(page_token: str) -> InvalidRequestError:
    """Return what to raise for a token that leads nowhere."""
    return invalid("page_token", f"is none that was given out: {page_token!r}")
