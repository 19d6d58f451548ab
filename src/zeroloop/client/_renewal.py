"""A channel whose certificates may be replaced while it is open."""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from zeroloop.errors import ConfigError


class RenewedChannel(grpc.aio.Channel):
    """Opened again after a change; calls that have begun end where they are.

    gRPC reads a caller's certificates once and makes all later connections with them. Whoever
    lives longer than its certificate, or than the authority of those that it calls, would
    not find back to them once a connection breaks. Under another authority the called service
    may hear of the change later, so a connection that works is kept until there is a new one.
    """

    def __init__(self, opened: Callable[[], grpc.aio.Channel], state: Callable[[], object]) -> None:
        """Open it.

        Args:
            opened: Opens a channel with the certificates as they are.
            state: Differs from before when they do. OSError: they are just being replaced.

        Raises:
            ConfigError: They cannot be used.
        """
        self._opened = opened
        self._state = state
        self._calls: Counter[grpc.aio.Channel] = Counter()
        """Of every channel that still has some."""

        self._closing: set[asyncio.Task[None]] = set()
        self._channel = opened()
        self._next: grpc.aio.Channel | None = None
        self._seen = state()

    def current(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""
        self._look()
        if self._next and (_works(self._next) or not _works(self._channel)):
            old, self._channel, self._next = self._channel, self._next, None
            self._close_if_idle(old)
        return self._channel

    def _look(self) -> None:
        try:
            state = self._state()
            if state == self._seen:
                return
            opened = self._opened()
        except (OSError, ConfigError):
            return  # Half replaced: the next call looks again.
        unused, self._next, self._seen = self._next, opened, state
        if unused:
            self._close_if_idle(unused)

    def begun(self, channel: grpc.aio.Channel, call: grpc.aio.Call) -> None:
        """Leave a channel open until a call on it has ended."""

        def ended(_: object) -> None:
            self._calls[channel] -= 1
            self._close_if_idle(channel)

        self._calls[channel] += 1
        call.add_done_callback(ended)

    async def close(self, grace: float | None = None) -> None:
        for channel in {*self._calls, self._channel, self._next}:
            if channel is not None:
                await channel.close(grace)
        if self._closing:
            await asyncio.wait(self._closing)

    def _close_if_idle(self, channel: grpc.aio.Channel) -> None:
        if self._calls[channel] > 0:
            return
        del self._calls[channel]
        if channel is not self._channel:
            closing = asyncio.get_running_loop().create_task(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - gRPC's signature
    ) -> grpc.ChannelConnectivity:
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current().channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "stream_stream", method, options)


def _works(channel: grpc.aio.Channel) -> bool:
    return channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


class _Method:
    """A method, called on the channel that is open at the time."""

    def __init__(self, owner: RenewedChannel, shape: str, method: Any, options: Any) -> None:
        self._owner, self._shape, self._method, self._options = owner, shape, method, options
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        channel = self._owner.current()
        if channel is not self._channel:
            self._call = getattr(channel, self._shape)(*self._method, **self._options)
            self._channel = channel
        call = self._call(*args, **options)
        self._owner.begun(channel, call)
        return call
