"""An API server in memory: objects with versions, one namespace, faults on demand."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from services.controller.platforms.kubernetes.api import (
    ConflictError,
    ExpiredError,
    Kind,
    Object,
)
from zeroloop.errors import AlreadyExistsError, NotFoundError, UnavailableError


class FakeApi:
    """Keeps what the real one promises: versions rise, a stale replace is a conflict."""

    namespace = "test"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 100
        self.down = False
        self.failures = 0
        """Calls that fail before it is well again."""

        self.hangs = False
        self.expired = False
        self.writes: list[tuple[str, str, str]] = []
        self.listed = 0
        self._changed = asyncio.Event()
        self._log: list[tuple[int, dict[str, Any]]] = []

    async def get(self, kind: Kind, name: str) -> Object:
        await self._reach()
        try:
            return copy.deepcopy(self.objects[kind.plural, name])
        except KeyError:
            raise NotFoundError(f"{kind.plural} {name}") from None

    async def list(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> Object:
        await self._reach()
        self.listed += 1
        items = [
            copy.deepcopy(item)
            for (plural, _), item in self.objects.items()
            if plural == kind.plural
            and (labels or {}).items() <= item["metadata"].get("labels", {}).items()
        ]
        return {"items": items, "metadata": {"resourceVersion": str(self.version)}}

    async def create(self, kind: Kind, body: Object) -> Object:
        await self._reach()
        name = body["metadata"]["name"]
        if (kind.plural, name) in self.objects:
            raise AlreadyExistsError(name)
        return self.put(kind, {**copy.deepcopy(dict(body))}, "ADDED", "create")

    async def apply(self, kind: Kind, body: Object) -> Object:
        await self._reach()
        return self.put(kind, copy.deepcopy(dict(body)), "MODIFIED", "apply")

    async def merge(self, kind: Kind, name: str, body: Object, *, subresource: str = "") -> Object:
        await self._reach()
        item = copy.deepcopy(dict(await self.get(kind, name)))
        before = copy.deepcopy(item.get("spec"))
        _merge(item, body)
        if item.get("spec") != before:
            item["metadata"]["generation"] += 1
        return self.put(kind, item, "MODIFIED", subresource or "merge")

    async def replace(self, kind: Kind, body: Object) -> Object:
        await self._reach()
        known = self.objects[kind.plural, body["metadata"]["name"]]
        if known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError("it has changed")
        return self.put(kind, copy.deepcopy(dict(body)), "MODIFIED", "replace")

    async def delete(self, kind: Kind, name: str, *, foreground: bool = False) -> None:
        await self._reach()
        self.remove(kind, name)

    async def watch(self, kind: Kind, version: str) -> AsyncGenerator[Object]:
        await self._reach()
        if self.expired:
            self.expired = False
            raise ExpiredError("too old")
        at = int(version)
        while True:
            for number, event in list(self._log):
                if number > at and event["plural"] == kind.plural:
                    at = number
                    yield {"type": event["type"], "object": copy.deepcopy(event["object"])}
            self._changed.clear()
            await self._changed.wait()
            await self._reach()

    # ---- what others do

    def put(self, kind: Kind, item: dict[str, Any], event: str, verb: str = "other") -> Object:
        """Store an object as it is now."""
        self.version += 1
        metadata = item["metadata"]
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        metadata.setdefault("generation", 1)
        metadata.setdefault("namespace", self.namespace)
        metadata.setdefault("creationTimestamp", "2026-01-02T03:04:05Z")
        metadata["resourceVersion"] = str(self.version)
        self.objects[kind.plural, metadata["name"]] = item
        self.writes.append((verb, kind.plural, metadata["name"]))
        self._tell(kind, event, item)
        return copy.deepcopy(item)

    def remove(self, kind: Kind, name: str) -> None:
        """Delete an object."""
        item = self.objects.pop((kind.plural, name), None)
        if item is not None:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self._tell(kind, "DELETED", item)

    def cut(self) -> None:
        """Break every watch."""
        self._changed.set()

    def _tell(self, kind: Kind, event: str, item: dict[str, Any]) -> None:
        told = {"type": event, "plural": kind.plural, "object": copy.deepcopy(item)}
        self._log.append((self.version, told))
        self._changed.set()

    async def _reach(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.failures -= 1
        if self.down or self.failures >= 0:
            raise UnavailableError("down")


def _merge(item: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for name, value in patch.items():
        if value is None:
            item.pop(name, None)
        elif isinstance(value, Mapping):
            _merge(item.setdefault(name, {}), value)
        else:
            item[name] = copy.deepcopy(value)
