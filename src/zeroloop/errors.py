"""Every error this project raises on purpose.

ZeroloopError
+-- ConfigError              a setting is missing or out of range; the process must not start
+-- InvalidRequestError      the caller broke the contract; retrying cannot help
+-- AuthError                the token is missing or wrong
|   +-- ForbiddenError       the token is good, but not allowed to do this
+-- NotFoundError            the named thing does not exist
+-- AlreadyExistsError       the named thing exists and differs
+-- FailedPreconditionError  the system is not in the state that the call needs
+-- CorruptDataError         stored bytes do not match their digest
+-- InternalError            a bug on the other side; its log has the traceback
+-- UnavailableError         a dependency is down or slow; retrying may help
    +-- OverloadedError      the service is full; retry after `retry_after_s`
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks the contract."""

    field: str
    """Path of the field, for instance `limits.cpu_time`."""

    problem: str
    """Allowed, got and the remedy, in one sentence."""


class ZeroloopError(Exception):
    """Root of the tree; `str()` says what happened and what to do."""


class ConfigError(ZeroloopError):
    """A setting is missing, unknown or out of range."""


class InvalidRequestError(ZeroloopError):
    """The caller broke the contract; `violations` names each field."""

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class AuthError(ZeroloopError):
    """The token is missing or wrong."""


class ForbiddenError(AuthError):
    """The token is good, but not allowed to do this."""


class NotFoundError(ZeroloopError):
    """The named thing does not exist."""


class AlreadyExistsError(ZeroloopError):
    """The named thing exists and differs from what was asked for."""


class FailedPreconditionError(ZeroloopError):
    """The system is not in the state that the call needs."""


class CorruptDataError(ZeroloopError):
    """Stored bytes do not match their digest."""


class InternalError(ZeroloopError):
    """A bug on the other side; its log has the traceback."""


class UnavailableError(ZeroloopError):
    """A dependency is down or slow; retrying may help."""


class OverloadedError(UnavailableError):
    """The service is full; retry after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def invalid(field: str, problem: str) -> InvalidRequestError:
    """Return the error for one field that breaks the contract."""
    return InvalidRequestError(f"{field}: {problem}", [Violation(field, problem)])
