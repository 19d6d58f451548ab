"""What is removed: old versions of the weights, and the tokens of old rounds."""

import asyncio
import shutil
from pathlib import Path

from services.controller.ports import Buffer
from zeroloop.core.batches import Weights

PAGE_SIZE = 200


async def retain_weights(buffer: Buffer, run: str, root: Path, *, keep: int) -> list[int]:
    """Remove all but the newest `keep` versions and the promoted ones; return which.

    The base model, version 0, is not ours to remove. A folder outside `root` is left alone,
    and its version with it. Bytes go first: a version whose bytes are gone is found again in
    the registry and forgotten the next time.
    """
    versions = await _versions(buffer, run)
    removable = [w for w in versions[keep:] if w.version > 0 and not w.promoted]
    removed: list[int] = []
    for weights in removable:
        folder = Path(weights.uri.removeprefix("file://"))
        if not folder.is_absolute() or not folder.resolve().is_relative_to(root.resolve()):
            continue
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
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
