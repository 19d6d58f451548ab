"""Channels to the services of one run, and the clients on them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services._server import telemetry
from services.controller.ports import Buffer, Inference, ReplicaWeights, Reward
from services.controller.rounds.game import DOMAIN, Provenance
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.inference import InferenceClient, WeightsControlClient
from zeroloop.client.reward import RewardClient
from zeroloop.core.runs import Endpoints
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.errors import InternalError


@dataclass(frozen=True, slots=True)
class Replica:
    """One inference replica."""

    name: str
    weights: ReplicaWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class Connections:
    """Everything that a run talks to."""

    inference: Inference
    reward: Reward
    buffer: Buffer
    replicas: Sequence[Replica]
    provenance: Provenance


@asynccontextmanager
async def connect(
    endpoints: Endpoints,
    algorithm: AlgorithmSettings,
    access: Access,
    *,
    to_execution: Access | None = None,
    replicas: Sequence[Replica] | None = None,
) -> AsyncGenerator[Connections]:
    """Open a channel to each service; they are closed with the block.

    Args:
        endpoints: Where they listen.
        algorithm: What rewards are computed by.
        access: To all of them.
        to_execution: To that one, if it is another.
        replicas: Every inference replica by itself; None: there is one, at its endpoint.

    Raises:
        UnavailableError: A service does not answer.
    """
    async with AsyncExitStack() as stack:

        async def channel(target: str, shown: Access = access):  # noqa: ANN202
            opened = shown.channel(target, telemetry.client_interceptors())
            return await stack.enter_async_context(opened)

        inference = await channel(endpoints.inference)
        reward = RewardClient(await channel(endpoints.reward), algorithm, domain=DOMAIN)
        execution = ExecutionClient(await channel(endpoints.execution, to_execution or access))
        if replicas is None:
            replicas = [Replica(endpoints.inference, WeightsControlClient(inference))]
        yield Connections(
            inference=InferenceClient(inference),
            reward=reward,
            buffer=BufferClient(await channel(endpoints.buffer)),
            replicas=replicas,
            provenance=await _provenance(reward, execution),
        )


async def _provenance(reward: RewardClient, execution: ExecutionClient) -> Provenance:
    validators = {d.name: d.validator for d in await reward.list_domains()}
    if DOMAIN not in validators:
        raise InternalError(f"the reward service knows {sorted(validators)} and not {DOMAIN!r}")
    capabilities = await execution.get_capabilities()
    return Provenance(validator=validators[DOMAIN], image_digest=capabilities.image_digest)
