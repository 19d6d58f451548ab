"""The inference replicas of one run: a Deployment, and a channel to each ready pod."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio

from services.controller.connections import Replica
from services.controller.decide import Services
from services.controller.platforms.kubernetes.api import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    SERVICES,
    Api,
    Object,
)
from services.controller.platforms.kubernetes.workloads import (
    GRPC_PORT,
    TEMPLATE,
    Belonging,
    engine_name,
    engine_service,
)
from zeroloop.client.inference import WeightsControlClient
from zeroloop.errors import NotFoundError

OpenChannel = Callable[[str], grpc.aio.Channel]

HOPELESS = ("CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull")
"""What a pod waits for in vain until a person mends it."""

CRASHES_MAX = 5
"""Starts of a replica that may fail before a person must look at it."""

SERVICE_LABEL = "kubernetes.io/service-name"


class Engines:
    """Knows which replicas are ready, and talks to each of them."""

    def __init__(
        self, api: Api, belonging: Belonging, deployment: Object, channel: OpenChannel
    ) -> None:
        self._api = api
        self._belonging = belonging
        self._deployment = deployment
        self._channel = channel
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.replicas: list[Replica] = []
        """One per ready pod, always the same list: whoever holds it sees them come and go."""

        self.wanted: int = deployment["spec"]["replicas"]
        self.problem = ""
        self._is_as_wanted = False
        self.waiting = ""
        """Why no node takes a replica, in the scheduler's words; empty if none waits for one."""

    @property
    def target(self) -> str:
        """gRPC target that spreads calls over all ready replicas."""
        return f"dns:///{engine_name(self._belonging.run)}.{self._api.namespace}.svc:{GRPC_PORT}"

    async def ensure(self) -> None:
        """Make the Deployment and its Service what they should be."""
        if self._is_as_wanted:
            return
        await self._api.apply(SERVICES, engine_service(self._belonging))
        await self._api.apply(DEPLOYMENTS, self._deployment)

    async def remove(self) -> None:
        """Let go of the GPUs."""
        name = engine_name(self._belonging.run)
        await self._api.delete(DEPLOYMENTS, name)
        await self._api.delete(SERVICES, name)
        await self._keep(())

    async def look(self) -> Services:
        """Look at the replicas; at least one that is ready is enough to play."""
        try:
            deployment = await self._api.get(DEPLOYMENTS, engine_name(self._belonging.run))
        except NotFoundError:
            self._is_as_wanted = False
            await self._keep(())
            return Services.ABSENT
        self._is_as_wanted = _version(deployment) == _version(self._deployment)
        await self._keep(await self._addresses())
        if self.replicas:
            self.waiting = ""
            return Services.READY
        pods = (await self._api.list(PODS, labels=self._belonging.select("inference")))["items"]
        self.problem = _stuck(deployment) or _hopeless(pods)
        self.waiting = unscheduled(pods)
        return Services.BROKEN if self.problem else Services.STARTING

    async def close(self) -> None:
        """Close all channels; the pods stay."""
        await self._keep(())

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
        for condition in pod.get("status", {}).get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"{pod['metadata']['name']}: {condition.get('message', '')}"
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


def _version(deployment: Object) -> tuple[int, str]:
    """What a Deployment was made to be: replicas, and the digest of its pods' template."""
    spec = deployment["spec"]
    return spec["replicas"], spec["template"]["metadata"].get("annotations", {}).get(TEMPLATE, "")


def _stuck(deployment: Object) -> str:
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Progressing" and condition["status"] == "False":
            return f"{deployment['metadata']['name']}: {condition.get('message', '')}"
    return ""


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
