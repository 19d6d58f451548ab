"""Channels to the services: authentication, limits, retries and error translation."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import grpc
import grpc.aio

from zeroloop.client._renewal import RenewedChannel
from zeroloop.client.tls import Tls
from zeroloop.client.token import Token
from zeroloop.status import error_of

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Largest message either way; what is larger travels as a stream."""

DEADLINE_S = 30.0
"""Deadline of an ordinary unary call."""

STREAM_DEADLINE_S = 3600.0
"""Deadline of a call that streams results of long work."""

# Every method is idempotent by contract, so a call that never reached a server may be repeated.
# Streams towards the server are left out: their messages are gone once sent.
_SERVICE_CONFIG: dict[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
        {
            "name": [
                {"service": "zeroloop.buffer.v1.RoundService", "method": "PutStage"},
                {"service": "zeroloop.execution.v1.ExecutionService", "method": "ExecuteStream"},
            ]
        },
    ],
}

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 60_000),
    # A service that restarts is found again soon; by default that may take two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
]


class _Bearer:
    """Adds the bearer token to a call's metadata."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def add_to(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        token = self._token if isinstance(self._token, str) else self._token()
        entry = ("authorization", f"Bearer {token}")
        metadata = grpc.aio.Metadata(*(details.metadata or ()), entry)
        return grpc.aio.ClientCallDetails(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
        )


# One class per shape of call: a channel files an interceptor under the first shape it has.
class _UnaryUnary(_Bearer, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(self.add_to(client_call_details), request)


class _UnaryStream(_Bearer, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(self.add_to(client_call_details), request)


class _StreamUnary(_Bearer, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(self.add_to(client_call_details), request_iterator)


class _StreamStream(_Bearer, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(self.add_to(client_call_details), request_iterator)


def open_channel(
    target: str,
    *,
    token: Token | None = None,
    tls: Tls | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel to `target`, for instance `127.0.0.1:7070` or `dns:///buffer:443`.

    Nothing is sent before the first call. Close it with `await channel.close()` or use it
    in `async with`. `interceptors` run before authentication, so that tracing sees the call.

    Args:
        target: gRPC's name of a service.
        token: Presented with every call.
        tls: How the service is checked; None: the network is trusted. Files that are replaced
            count from the next call on.
        interceptors: Of the caller.
    """
    chain: list[grpc.aio.ClientInterceptor] = list(interceptors)
    if token is not None:
        chain += [
            shape(token) for shape in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
        ]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=chain)
    name = [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []
    return RenewedChannel(
        lambda: grpc.aio.secure_channel(
            target, tls.credentials(), options=[*_OPTIONS, *name], interceptors=chain
        ),
        tls.state,
    )


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller shows to services, and how it checks them."""

    token: Token | None = None
    tls: Tls | None = None

    def by_address(self, server_name: str) -> "Access":
        """The same for a service that is called by its address: its certificate has this name."""
        return replace(self, tls=self.tls and replace(self.tls, server_name=server_name))

    def channel(
        self, target: str, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
    ) -> grpc.aio.Channel:
        """Open a channel with it, see `open_channel`."""
        return open_channel(target, token=self.token, tls=self.tls, interceptors=interceptors)


@contextmanager
def translate_errors() -> Generator[None]:
    """Turn a failed call inside the block into an error of `zeroloop.errors`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        trailing = cast("Sequence[tuple[str, str | bytes]]", tuple(error.trailing_metadata() or ()))
        raise error_of(error.code(), error.details() or "", trailing) from error
