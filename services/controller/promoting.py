"""Promoting a version of the weights: keeping it, and handing it to who serves it to others."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from services._server import telemetry
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import Access
from zeroloop.core.batches import Weights
from zeroloop.core.runs import Endpoints, Promotion
from zeroloop.errors import FailedPreconditionError

HandOver: TypeAlias = Callable[[str, Weights], Awaitable[str]]
"""Makes an InferenceService serve a version; returns its `storageUri`. May be repeated."""


async def promote(
    endpoints: Endpoints,
    access: Access,
    hand_over: HandOver,
    *,
    run: str,
    version: int,
    inference_service: str,
) -> Promotion:
    """Keep a version for ever, and hand it to an InferenceService if one is named.

    It is kept first: nobody shall serve what retention may remove.
    """
    interceptors = telemetry.client_interceptors()
    async with access.channel(endpoints.buffer, interceptors) as channel:
        weights = await BufferClient(channel).weights.promote(run, version)
    uri = await hand_over(inference_service, weights) if inference_service else ""
    return Promotion(weights.version, uri)


async def nowhere(inference_service: str, weights: Weights) -> str:
    """On one machine nobody serves weights to others.

    Raises:
        FailedPreconditionError: Always.
    """
    raise FailedPreconditionError(
        f"inference_service: there is no InferenceService {inference_service!r} on one machine, "
        f"weights v{weights.version} are kept; `zeroloop weights export` copies them"
    )
