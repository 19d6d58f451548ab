"""Runs kept as Kubernetes objects, mirrored in memory; what happened in them as files.

Reads come from the mirror, which a watch fills. Writes change the mirror at once and reach
the API server soon after, the newest state only: a status is coarse, and the truth about
rounds is in the buffer. `settle` waits where a caller must know that it has arrived.
"""

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import Any

from services.controller.platforms.kubernetes.api import EVENTS, RUNS, Api, Object
from services.controller.platforms.kubernetes.objects import (
    event_to,
    object_of,
    spec_changes,
    status_to,
    stored_of,
)
from services.controller.store import RunFolder, RunStore, StoredRun, check_name
from zeroloop.core.runs import EventType, RunEvent, RunSpec
from zeroloop.errors import NotFoundError, UnavailableError, ZeroloopError

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""Pause after a write that failed."""

PACE_S = 0.2
"""Between two writes of one run: a status that changes faster is written once."""

SETTLE_S = 20.0
"""How long a caller waits for its write to arrive."""

EVENTS_PENDING_MAX = 1000
"""Events that wait for the API server; beyond that the oldest are dropped."""

TOLD = (EventType.STATE, EventType.ROUND, EventType.WEIGHTS, EventType.WARNING)
"""What becomes an Event of the cluster; the rest is too much for it."""


class ObjectStore:
    """The runs of one namespace."""

    def __init__(self, api: Api, files: RunStore) -> None:
        self._api = api
        self._files = files
        self._objects: dict[str, Object] = {}
        self._wanted: dict[str, StoredRun] = {}
        """What was saved and may not have arrived."""

        self._saved: dict[str, RunSpec] = {}
        """The spec that was saved or loaded last. Only what differs from it is a change of ours:
        whatever else is in the object others have put there, and it stays."""

        self._changes: dict[str, RunSpec] = {}
        """Specs of ours that may not have arrived."""

        self._creating: dict[str, asyncio.Future[None]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}
        self._events: asyncio.Queue[tuple[str, RunEvent]] = asyncio.Queue(EVENTS_PENDING_MAX)

    # ---- as `RunStore`

    def folder(self, name: str) -> RunFolder:
        """The places of a run on the shared volume."""
        return self._files.folder(name)

    def load(self, name: str) -> StoredRun:
        """Return a run.

        Raises:
            InvalidRequestError: It is no name of a run.
            NotFoundError: There is no such run.
        """
        check_name(name)
        wanted = self._wanted.get(name)
        if wanted is not None and name in self._creating:
            return wanted
        stored = stored_of(self.object(name))
        run = stored.run
        if wanted is not None:
            run = replace(run, status=wanted.run.status)
        run = replace(run, spec=self._changes.get(name, run.spec))
        self._saved.setdefault(name, run.spec)
        return replace(stored, run=run)

    def names(self) -> list[str]:
        """The names of all runs, newest first."""
        runs = [self.load(name).run for name in {*self._objects, *self._creating}]
        runs.sort(key=lambda run: (run.created_at, run.name), reverse=True)
        return [run.name for run in runs]

    def save(self, stored: StoredRun) -> None:
        """Change a run, or create it; reaches the API server soon."""
        name = stored.run.name
        self._wanted[name] = stored
        if stored.run.spec != self._saved.get(name):
            self._changes[name] = self._saved[name] = stored.run.spec
        if name not in self._objects and name not in self._creating:
            self._creating[name] = asyncio.get_running_loop().create_future()
        if name not in self._writers:
            self._writers[name] = asyncio.create_task(self._write(name), name=f"write-{name}")

    async def settle(self, name: str) -> None:
        """Return when what was saved has arrived.

        Raises:
            AlreadyExistsError: Somebody else created a run of that name.
            InvalidRequestError: The API server does not take it.
            UnavailableError: It does not answer.
        """
        try:
            async with asyncio.timeout(SETTLE_S):
                if name in self._creating:
                    await asyncio.shield(self._creating[name])
                elif name in self._writers:
                    await asyncio.shield(self._writers[name])
        except TimeoutError:
            raise UnavailableError("the Kubernetes API does not answer; try again") from None

    def append_event(self, name: str, event: RunEvent) -> None:
        """Keep an event in a file, and tell the cluster of it if it matters there."""
        folder = self.folder(name).path
        folder.mkdir(parents=True, exist_ok=True)
        self._files.append_event(name, event)
        if event.type in TOLD:
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait((name, event))

    def events(self, name: str) -> list[RunEvent]:
        """The kept events of a run, oldest first."""
        return self._files.events(name)

    # ---- the mirror

    def object(self, name: str) -> Object:
        """The object of a run as last seen.

        Raises:
            NotFoundError: There is none.
        """
        if name not in self._objects:
            raise NotFoundError(f"no run {name!r} in namespace {self._api.namespace}")
        return self._objects[name]

    def seen(self, item: Object) -> None:
        """An object was read. An answer to a write may be newer than what a watch tells next."""
        name = item["metadata"]["name"]
        known = self._objects.get(name)
        if known is None or _is_newer(item, known):
            self._objects[name] = item

    def gone(self, name: str) -> None:
        """The watch saw that it is no more."""
        for kept in (self._objects, self._wanted, self._saved, self._changes):
            kept.pop(name, None)

    @property
    def known(self) -> set[str]:
        """Names of the objects in the mirror."""
        return set(self._objects)

    # ---- writing

    async def tell_events(self) -> None:
        """Hand events to the API server until cancelled. One that it does not take is dropped:
        the file has it."""
        while True:
            name, event = await self._events.get()
            item = self._objects.get(name)
            if item is None:
                continue
            body = event_to(item, event, name=f"{name}.{uuid.uuid4().hex[:16]}")
            try:
                await self._api.create(EVENTS, body)
            except ZeroloopError as error:
                logger.warning("event_not_told", extra={"run": name, "error": str(error)})

    async def close(self) -> None:
        """Let pending writes end, for a bounded time."""
        writers = list(self._writers.values())
        if writers:
            await asyncio.wait(writers, timeout=2 * RETRY_S)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    async def _write(self, name: str) -> None:
        try:
            while (stored := self._wanted.get(name)) is not None:
                try:
                    await self._write_once(name, stored)
                except UnavailableError as error:
                    logger.warning("run_not_written", extra={"run": name, "error": str(error)})
                    await asyncio.sleep(RETRY_S)
                    continue
                if self._wanted.get(name) is stored:
                    return
                await asyncio.sleep(PACE_S)
        except NotFoundError:
            self.gone(name)
        except ZeroloopError as error:
            self._refused(name, error)
        finally:
            self._writers.pop(name, None)
            self._wanted.pop(name, None)
            self._changes.pop(name, None)

    def _refused(self, name: str, error: ZeroloopError) -> None:
        creating = self._creating.pop(name, None)
        if creating is not None:
            creating.set_exception(error)
            creating.exception()  # Whoever asked may have gone.
            return
        logger.error("run_refused", extra={"run": name, "error": str(error)})

    async def _write_once(self, name: str, stored: StoredRun) -> None:
        if name in self._creating:
            self.seen(await self._api.create(RUNS, object_of(stored)))
            self._creating.pop(name).set_result(None)
        item = self.object(name)
        change = self._changes.get(name)
        if change is not None:
            if patch := spec_changes(item, change):
                item = await self._api.merge(RUNS, name, patch)
                self.seen(item)
            if self._changes.get(name) is change:
                del self._changes[name]
        generation = item["metadata"]["generation"]
        status = status_to(stored.run, generation)
        if _differs(item.get("status") or {}, status):
            self.seen(await self._api.merge(RUNS, name, {"status": status}, subresource="status"))


def _is_newer(item: Object, known: Object) -> bool:
    new, old = item["metadata"], known["metadata"]
    return new["uid"] != old["uid"] or int(new["resourceVersion"]) >= int(old["resourceVersion"])


def _differs(now: Object, wanted: dict[str, Any]) -> bool:
    return any(now.get(field) != value for field, value in wanted.items())
