"""The one table between errors of this project and gRPC status codes, both ways.

Details travel as `google.rpc.Status`: `ErrorInfo` with the reason, `BadRequest` with each
violated field, `RetryInfo` when waiting helps. They are read from the trailing metadata
directly, so that clients need no package beyond googleapis-common-protos.
"""

import re
from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from zeroloop.errors import (
    AlreadyExistsError,
    AuthError,
    ConfigError,
    CorruptDataError,
    FailedPreconditionError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    Violation,
    ZeroloopError,
)

_REFUSED = re.compile(r"last error: \S+ ipv[46]:([^ ]+): Failed to connect to remote host")
"""gRPC's words for nobody listening; the group is the address."""

_TOO_LARGE = re.compile(r"(?:Sent|SERVER: Received) message larger than max \((\d+) vs\. (\d+)\)")
"""gRPC's words for a request that does not fit into a message; it is no overload."""

_CUT_OFF = "Internal error from Core"
"""What gRPC's asyncio client says when the connection goes while it writes to a stream."""

MESSAGE_CHARS_MAX = 1000
VIOLATIONS_MAX = 10
"""The first ones are enough to begin with."""

PROBLEM_CHARS_MAX = 300
DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "zeroloop.dev"

_CODE_OF: dict[type[ZeroloopError], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    AuthError: grpc.StatusCode.UNAUTHENTICATED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    CorruptDataError: grpc.StatusCode.DATA_LOSS,
    InternalError: grpc.StatusCode.INTERNAL,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}
_ERROR_OF: dict[grpc.StatusCode, type[ZeroloopError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: AuthError,
    grpc.StatusCode.PERMISSION_DENIED: ForbiddenError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.DATA_LOSS: CorruptDataError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.ABORTED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
}


def code_of(error: ZeroloopError) -> grpc.StatusCode:
    """The status that a server sends for `error`."""
    for kind in type(error).__mro__:
        if kind in _CODE_OF:
            return _CODE_OF[kind]
    return grpc.StatusCode.INTERNAL


def shortened(text: str) -> str:
    """At most so much of a message that it travels: gRPC has 8 KiB for all that is no payload."""
    return text if len(text) <= MESSAGE_CHARS_MAX else f"{text[:MESSAGE_CHARS_MAX]} …"


def details_of(error: ZeroloopError) -> bytes:
    """The serialized `google.rpc.Status` that a server sends with `error`."""
    status = status_pb2.Status(code=code_of(error).value[0], message=shortened(str(error)))
    _pack(status, error_details_pb2.ErrorInfo(reason=_reason(error), domain=DOMAIN))
    if isinstance(error, InvalidRequestError) and error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=v.field, description=v.problem[:PROBLEM_CHARS_MAX]
            )
            for v in error.violations[:VIOLATIONS_MAX]
        ]
        _pack(status, error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(error, OverloadedError):
        delay = duration_pb2.Duration(nanos=0)
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status.SerializeToString()


def error_of(
    code: grpc.StatusCode, message: str, trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
) -> ZeroloopError:
    """The error that a client raises for a failed call."""
    if code is grpc.StatusCode.INTERNAL and message == _CUT_OFF:
        return UnavailableError("the connection was cut while the request was sent")
    kind = _ERROR_OF.get(code, InternalError)
    status = _status_in(trailing_metadata)
    text = message or code.name
    if (too_large := _TOO_LARGE.search(text)) and kind is OverloadedError:
        size, most = map(int, too_large.groups())
        return InvalidRequestError(
            f"the request has {size:,} bytes, a message may have {most:,}; send less in one call"
        )
    if (refused := _REFUSED.search(text)) and code is grpc.StatusCode.UNAVAILABLE:
        text = f"nothing answers at {refused[1]}; start the service there, or check the address"
    elif code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
        text = f"{code.name.lower().replace('_', ' ')}: {text}"
    if kind is InvalidRequestError:
        return InvalidRequestError(text, _violations_in(status))
    if kind is OverloadedError:
        return OverloadedError(text, _retry_after_s_in(status))
    return kind(text)


def _reason(error: ZeroloopError) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join("_" + c if c.isupper() else c.upper() for c in name).lstrip("_")


def _pack(status: status_pb2.Status, detail: error_details_pb2.ErrorInfo | object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # pyright: ignore[reportArgumentType]
    status.details.append(packed)


def _status_in(metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    status = status_pb2.Status()
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status


def _violations_in(status: status_pb2.Status) -> list[Violation]:
    detail = error_details_pb2.BadRequest()
    for packed in status.details:
        if packed.Unpack(detail):
            return [Violation(v.field, v.description) for v in detail.field_violations]
    return []


def _retry_after_s_in(status: status_pb2.Status) -> float:
    detail = error_details_pb2.RetryInfo()
    for packed in status.details:
        if packed.Unpack(detail):
            return detail.retry_delay.ToNanoseconds() / 1e9
    return 1.0
