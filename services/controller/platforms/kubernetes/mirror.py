"""Keeping up with the objects of a namespace: list, then watch, and list again when in doubt."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from services.controller.platforms.kubernetes.api import RUNS, Api, ExpiredError, Object
from zeroloop.errors import UnavailableError

logger = logging.getLogger(__name__)

PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 15.0
"""After a failure; doubles from the least to the most."""

RESYNC_S = 300.0
"""Every object is looked at again this often, whatever the watch tells."""


class Seen(Protocol):
    """Where objects are put."""

    @property
    def known(self) -> set[str]: ...
    def seen(self, item: Object) -> None: ...
    def gone(self, name: str) -> None: ...


class Mirror:
    """Fills a store with the runs of a namespace and tells the name of each that changed."""

    def __init__(self, api: Api, store: Seen, changed: Callable[[str], None]) -> None:
        self._api = api
        self._store = store
        self._changed = changed
        self.filled = asyncio.Event()
        """Set once the first list has arrived."""

    async def run(self) -> None:
        """Keep up until cancelled."""
        pause_s = PAUSE_MIN_S
        while True:
            try:
                version = await self._list()
                pause_s = PAUSE_MIN_S
                await self._follow(version)
            except ExpiredError:
                logger.info("watch_expired")
            except UnavailableError as error:
                logger.warning("watch_broken", extra={"error": str(error)})
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _list(self) -> str:
        found = await self._api.list(RUNS)
        names = {item["metadata"]["name"] for item in found["items"]}
        for item in found["items"]:
            self._store.seen(item)
        gone = self._store.known - names
        for name in gone:
            self._store.gone(name)
        self.filled.set()
        for name in sorted(names | gone):
            self._changed(name)
        return found["metadata"]["resourceVersion"]

    async def _follow(self, version: str) -> None:
        """Watch until it is time to list again."""
        until_s = time.monotonic() + RESYNC_S
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            async for event in self._api.watch(RUNS, version):
                item = event["object"]
                version = item["metadata"]["resourceVersion"]
                self._take(event["type"], item)
            if time.monotonic() - began_s < PAUSE_MIN_S:
                # An API server that ends watches at once must not be asked in a hot loop.
                await asyncio.sleep(PAUSE_MIN_S)

    def _take(self, kind: str, item: Object) -> None:
        if kind == "BOOKMARK":
            return
        name = item["metadata"]["name"]
        if kind == "DELETED":
            self._store.gone(name)
        else:
            self._store.seen(item)
        self._changed(name)
