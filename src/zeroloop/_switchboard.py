"""Which service of which run is where, and the open channels to them."""

import grpc.aio

from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access
from zeroloop.client.controller import RunClient
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.inference import InferenceClient
from zeroloop.core.runs import Endpoints
from zeroloop.errors import FailedPreconditionError, UnavailableError


class Switchboard:
    """Connects calls: learns addresses from the controller, or is told them at the start.

    Addresses are asked for anew with each call, because local services get new ports when
    they start again; channels are kept.
    """

    def __init__(
        self, access: Access, *, controller: str = "", endpoints: Endpoints | None = None
    ) -> None:
        self._access = access
        self._controller = controller
        self._endpoints = endpoints
        self._channels: dict[str, grpc.aio.Channel] = {}

    def runs(self) -> RunClient:
        """The client of the controller."""
        if not self._controller:
            raise FailedPreconditionError(
                "runs need a controller, but only their stored data is connected; give the "
                "controller's address, for instance with --address"
            )
        return RunClient(self._channel(self._controller))

    async def buffer(self, run: str) -> BufferClient:
        """The client of the buffer that keeps `run`."""
        return BufferClient(self._channel(self._found("buffer", run, await self._ask(run))))

    async def execution(self, run: str) -> ExecutionClient:
        """The client of the sandbox that `run` uses."""
        return ExecutionClient(self._channel(self._found("execution", run, await self._ask(run))))

    async def inference(self, run: str) -> InferenceClient:
        """The client of the engine that serves the model of `run`."""
        return InferenceClient(self._channel(self._found("inference", run, await self._ask(run))))

    async def close(self) -> None:
        """Close all channels; calls in flight are cancelled."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def _ask(self, run: str) -> Endpoints:
        return self._endpoints or await self.runs().get_endpoints(run)

    def _found(self, service: str, run: str, endpoints: Endpoints) -> str:
        target: str = getattr(endpoints, service)
        if not target:
            whose = f"run {run!r}" if run else "the platform"
            raise UnavailableError(
                f"the {service} service of {whose} is not running; it runs while a run is played"
            )
        return target

    def _channel(self, target: str) -> grpc.aio.Channel:
        if target not in self._channels:
            self._channels[target] = self._access.channel(target)
        return self._channels[target]
