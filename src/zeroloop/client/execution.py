"""Typed client of the Execution service: run programs, get facts."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from typing import Any

import grpc.aio

from zeroloop.client import _execution_wire as wire
from zeroloop.client._streams import read_each, read_while_writing
from zeroloop.client.channel import DEADLINE_S, STREAM_DEADLINE_S, translate_errors
from zeroloop.core.execution import PROGRAMS_MAX, Capabilities, Limits, Program, Result
from zeroloop.execution.v1 import execution_pb2 as pb
from zeroloop.execution.v1 import execution_pb2_grpc as stubs

__all__ = ["ExecutionClient"]


class ExecutionClient:
    """Calls `ExecutionService` on an open channel.

    A program that fails, or is killed at a limit, is a result and not an error. A result
    whose status is `not_executed` says that the platform failed: retry or mask it.

    Every method raises errors of `zeroloop.errors` alone: `InvalidRequestError` for a limit
    or size that is out of range, `OverloadedError` if the service is full,
    `UnavailableError` if no sandbox works. All calls may be repeated: a run has no effects.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = stubs.ExecutionServiceStub(channel)

    def execute(
        self,
        programs: Sequence[Program],
        limits: Limits | None = None,
        *,
        mode: str = "",
        deadline_s: float = STREAM_DEADLINE_S,
    ) -> AsyncGenerator[Result]:
        """Run every program on each of its inputs; iterate over the results as they finish.

        Args:
            programs: At most 64, each with at most 64 inputs.
            limits: On each run; None takes the service's defaults.
            mode: One that the service offers (`get_capabilities`); empty takes the best.
            deadline_s: For the whole call, queueing included.
        """
        request = pb.ExecuteRequest(
            programs=[wire.program_to_pb(program) for program in programs],
            limits=None if limits is None else wire.limits_to_pb(limits),
            mode=mode,
            results_per_message_max=PROGRAMS_MAX,
        )
        return read_each(lambda: self._stub.Execute(request, timeout=deadline_s), _results)

    def execute_stream(
        self,
        programs: AsyncIterable[Program],
        limits: Limits | None = None,
        *,
        mode: str = "",
        deadline_s: float = STREAM_DEADLINE_S,
    ) -> AsyncGenerator[Result]:
        """Run programs as they trickle in, any number of them; each needs its own id."""
        limits_pb = None if limits is None else wire.limits_to_pb(limits)

        async def requests() -> AsyncIterator[pb.ExecuteStreamRequest]:
            async for program in programs:
                message = wire.program_to_pb(program)
                yield pb.ExecuteStreamRequest(program=message, limits=limits_pb, mode=mode)

        return read_while_writing(
            lambda sent: self._stub.ExecuteStream(sent, timeout=deadline_s), requests(), _result
        )

    async def get_capabilities(self) -> Capabilities:
        """Return what isolates programs there, and the limits in force."""
        with translate_errors():
            response = await self._stub.GetCapabilities(
                pb.GetCapabilitiesRequest(), timeout=DEADLINE_S
            )
        return wire.capabilities_from_pb(response)


def _results(response: Any) -> list[Result]:
    """One, from a service that knows of no more."""
    if response.HasField("result"):
        return [wire.result_from_pb(response.result)]
    return [wire.result_from_pb(result) for result in response.results]


def _result(response: Any) -> Result:
    return wire.result_from_pb(response.result)
