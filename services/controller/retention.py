"""What is removed: old versions of the weights, and the tokens of old rounds."""

import asyncio
import logging

from services.controller.ports import Buffer
from zeroloop.core.batches import Weights
from zeroloop.errors import FailedPreconditionError
from zeroloop.weights_store import WeightsStore

logger = logging.getLogger(__name__)

PAGE_SIZE = 200


async def retain_weights(buffer: Buffer, run: str, store: WeightsStore, *, keep: int) -> list[int]:
    """Remove all but the newest `keep` versions and the promoted ones; return which.

    The base model, version 0, is not ours to remove. What does not lie where `store` keeps that
    version is left alone, and its version with it. Bytes go first: a version whose bytes are gone
    is found again in the registry and forgotten the next time.

    A store that does not let us remove anything is no reason to end a run: that is logged.

    Raises:
        UnavailableError: The store or the buffer does not answer.
    """
    versions = await _versions(buffer, run)
    removable = [w for w in versions[keep:] if w.version > 0 and not w.promoted]
    removed: list[int] = []
    for weights in removable:
        try:
            ours = await asyncio.to_thread(store.remove, weights.version, weights.uri)
        except FailedPreconditionError as error:
            logger.warning("weights_not_removed", extra={"run": run, "why": str(error)})
            break
        if ours:
            await buffer.weights.remove(run, weights.version)
            removed.append(weights.version)
    return removed


async def _versions(buffer: Buffer, run: str) -> list[Weights]:
    versions: list[Weights] = []
    token = ""
    while True:
        page = await buffer.weights.list(run, page_size=PAGE_SIZE, page_token=token)
        versions += page.weights
        token = page.next_page_token
        if not token:
            return versions
