"""Promoting a version of the weights."""

from services._server import telemetry
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access
from zeroloop.core.runs import Endpoints


async def promote(endpoints: Endpoints, access: Access, run: str, version: int) -> int:
    """Keep a version for ever; return it."""
    interceptors = telemetry.client_interceptors()
    async with access.channel(endpoints.buffer, interceptors) as channel:
        weights = await BufferClient(channel).weights.promote(run, version)
    return weights.version
