"""Promoting a version of the weights."""

from services._server import telemetry
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.core.runs import Endpoints


async def promote(endpoints: Endpoints, token: str, run: str, version: int) -> int:
    """Keep a version for ever; return it."""
    interceptors = telemetry.client_interceptors()
    async with open_channel(endpoints.buffer, token=token, interceptors=interceptors) as channel:
        weights = await BufferClient(channel).weights.promote(run, version)
    return weights.version
