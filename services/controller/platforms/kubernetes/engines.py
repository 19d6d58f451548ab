"""The inference replicas of one run: who keeps them, and a channel to each ready pod."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc.aio

from services.controller.connections import Replica
from services.controller.decide import Services
from services.controller.platforms.kubernetes.api import (
    ENDPOINT_SLICES,
    PODS,
    SERVICES,
    Api,
    Object,
    UnknownKindError,
    condition_of,
)
from services.controller.platforms.kubernetes.backends import Backend, Waiting, others
from services.controller.platforms.kubernetes.workloads import (
    GRPC_PORT,
    Belonging,
    engine_name,
    engine_service,
)
from zeroloop.client.inference import WeightsControlClient
from zeroloop.errors import NotFoundError, UnavailableError

OpenChannel = Callable[[str], grpc.aio.Channel]

HOPELESS = ("CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull")
"""What a pod waits for in vain until a person mends it."""

CRASHES_MAX = 5
"""Starts of a replica that may fail before a person must look at it."""

UNSCHEDULABLE = "Unschedulable"
"""Reason of a condition: pods wait for a node."""

SERVICE_LABEL = "kubernetes.io/service-name"


class Engines:
    """Knows which replicas are ready, and talks to each of them."""

    def __init__(
        self,
        api: Api,
        belonging: Belonging,
        backend: Backend,
        wanted: Object,
        channel: OpenChannel,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep what `wanted` asks for, which is an object of the backend's."""
        self._api = api
        self._belonging = belonging
        self._backend = backend
        self._object = wanted
        self._channel = channel
        self._now = now
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.replicas: list[Replica] = []
        """One per ready pod, always the same list: whoever holds it sees them come and go."""

        self.wanted: int = backend.asked(wanted)[0]
        self.problem = ""
        self._is_as_wanted = False
        self._is_leaving = False
        self.waiting = Waiting()
        """Why no replica starts; empty if nothing holds one up."""

    @property
    def target(self) -> str:
        """gRPC target that spreads calls over all ready replicas."""
        return f"dns:///{engine_name(self._belonging.run)}.{self._api.namespace}.svc:{GRPC_PORT}"

    async def ensure(self) -> None:
        """Make the replicas' object and their Service what they should be.

        What another backend made for this run earlier is removed: it holds the same GPUs.

        Raises:
            UnavailableError: One of the same name is still being deleted.
        """
        if self._is_as_wanted:
            return
        if self._is_leaving:
            raise UnavailableError(self.waiting.message)
        await self._remove_others()
        await self._api.apply(SERVICES, engine_service(self._belonging))
        await self._api.apply(self._backend.kind, self._object)

    async def remove(self) -> None:
        """Let go of the GPUs."""
        await self._api.delete(self._backend.kind, self._name)
        await self._remove_others()
        await self._api.delete(SERVICES, engine_name(self._belonging.run))
        await self._keep(())

    async def look(self) -> Services:
        """Look at the replicas; at least one that is ready is enough to play."""
        try:
            item = await self._api.get(self._backend.kind, self._name)
        except UnknownKindError:
            self.problem = self._backend.missing
            await self._keep(())
            return Services.BROKEN
        except NotFoundError:
            return await self._absent(Waiting())
        if "deletionTimestamp" in item["metadata"]:
            why = f"{item['kind']} {self._name} is still being deleted"
            return await self._absent(Waiting("Deleting", why))
        self._is_leaving = False
        self._is_as_wanted = self._backend.asked(item) == self._backend.asked(self._object)
        await self._keep(await self._addresses())
        if self.replicas:
            self.waiting = Waiting()
            return Services.READY
        pods = (await self._api.list(PODS, labels=self._belonging.select("inference")))["items"]
        self.problem = self._backend.stuck(item, self._now()) or _hopeless(pods)
        if why := unscheduled(pods):
            self.waiting = Waiting(UNSCHEDULABLE, f"no node takes a replica: {why}")
        else:
            self.waiting = self._backend.waiting(item, self._now())
        return Services.BROKEN if self.problem else Services.STARTING

    async def close(self) -> None:
        """Close all channels; the pods stay."""
        await self._keep(())

    @property
    def _name(self) -> str:
        return self._backend.name(self._belonging.run)

    async def _remove_others(self) -> None:
        for other in others(self._backend):
            await self._api.delete(other.kind, other.name(self._belonging.run))

    async def _absent(self, waiting: Waiting) -> Services:
        self._is_as_wanted = False
        self._is_leaving = bool(waiting.reason)
        self.waiting = waiting
        await self._keep(())
        return Services.ABSENT

    async def _addresses(self) -> tuple[str, ...]:
        labels = {SERVICE_LABEL: engine_name(self._belonging.run)}
        slices = (await self._api.list(ENDPOINT_SLICES, labels=labels))["items"]
        ready = {
            address
            for one in slices
            for endpoint in one.get("endpoints") or ()
            if endpoint.get("conditions", {}).get("ready")
            for address in endpoint["addresses"]
        }
        return tuple(sorted(ready))

    async def _keep(self, addresses: tuple[str, ...]) -> None:
        for address in set(self._channels) - set(addresses):
            await self._channels.pop(address).close()
        for address in addresses:
            if address not in self._channels:
                self._channels[address] = self._channel(f"{_host(address)}:{GRPC_PORT}")
        self.replicas[:] = [
            Replica(address, WeightsControlClient(self._channels[address])) for address in addresses
        ]


def _hopeless(pods: Sequence[Object]) -> str:
    """Why no pod will ever start, if the kubelet says so."""
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or ():
            if why := _why_hopeless(status):
                return f"pod {pod['metadata']['name']}: {why}"
    return ""


def unscheduled(pods: Sequence[Object]) -> str:
    """Why no node takes one of these pods, in the scheduler's words; empty if none waits."""
    for pod in pods:
        scheduled = condition_of(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            return f"{pod['metadata']['name']}: {scheduled.get('message', '')}"
    return ""


def _why_hopeless(status: Object) -> str:
    waiting: dict[str, Any] = status.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in HOPELESS:
        return f"{reason}: {waiting.get('message', '')}"
    if reason == "CrashLoopBackOff" and status.get("restartCount", 0) >= CRASHES_MAX:
        ended = status.get("lastState", {}).get("terminated") or {}
        return (ended.get("message") or f"it ends with code {ended.get('exitCode')}").strip()
    return ""


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
