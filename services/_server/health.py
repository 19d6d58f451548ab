"""The standard health service, per gRPC service and for the whole process."""

import asyncio
from typing import Any

from grpc_health.v1 import health, health_pb2
from opentelemetry import metrics
from opentelemetry.metrics import Observation

from services._server import instruments, semconv

OVERALL = ""
"""Name under which clients ask for the whole process."""


class Health:
    """What this process says of itself. The process serves when every named service does."""

    def __init__(self) -> None:
        self.servicer: Any = vars(health)["aio"].HealthServicer()
        self._serving: dict[str, bool] = {}
        self.draining = asyncio.Event()
        """Set when the process is about to end: calls that only wait should return then."""

    @property
    def is_serving(self) -> bool:
        """Whether every named service serves, and there is one."""
        return bool(self._serving) and all(self._serving.values())

    def observe(self, component: str) -> None:
        """Let metrics say whether the process serves."""
        labels = {semconv.COMPONENT: component}
        instruments.observed(
            metrics.get_meter(__name__),
            semconv.METRIC_SERVING,
            lambda: [Observation(int(self.is_serving), labels)],
        )

    async def serving(self, *names: str) -> None:
        """Report the named gRPC services, e.g. `zeroloop.buffer.v1.TaskService`, as SERVING."""
        await self._set(names, serving=True)

    async def not_serving(self, *names: str) -> None:
        """Report the named gRPC services as NOT_SERVING; no name means all of them."""
        await self._set(names or tuple(self._serving), serving=False)

    async def _set(self, names: tuple[str, ...], *, serving: bool) -> None:
        for name in names:
            self._serving[name] = serving
            await self.servicer.set(name, _status(serving=serving))
        await self.servicer.set(OVERALL, _status(serving=self.is_serving))


def _status(*, serving: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    response = health_pb2.HealthCheckResponse
    return response.SERVING if serving else response.NOT_SERVING
