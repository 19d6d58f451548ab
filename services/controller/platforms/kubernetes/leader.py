"""One of several controllers plays: the holder of a Lease.

The official client's election waits five minutes on a dead connection, long after another
replica has taken over. Here every call is bounded, and whoever could not renew in time stops
before anybody else may begin.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from services.controller.platforms.kubernetes.api import LEASES, Api, Object
from zeroloop.errors import AlreadyExistsError, NotFoundError, UnavailableError

logger = logging.getLogger(__name__)

LEASE_S = 15
"""Without a renewal for so long the lease is free."""

RENEW_S = 3.0
"""Between two renewals, and between two looks of those who wait."""

GIVE_UP_S = 10.0
"""Without a renewal for so long the holder stops: before `LEASE_S`, whatever the clocks say."""


class LostError(UnavailableError):
    """The lease could not be kept; nothing may be done in its name any more."""


class Leadership:
    """Competes for one lease."""

    def __init__(
        self,
        api: Api,
        lease: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._lease = lease
        self._identity = identity
        self._clock = clock
        self._sleep = sleep
        self._seen: tuple[str, str] = ("", "")
        """Holder and time of the renewal that was seen last, and since when, by our clock."""

        self._seen_s = 0.0

    async def acquire(self) -> None:
        """Return when the lease is held."""
        while True:
            try:
                if await self._try():
                    logger.info("leadership_won", extra={"lease": self._lease})
                    return
            except UnavailableError as error:
                logger.warning("lease_not_read", extra={"error": str(error)})
            await self._sleep(RENEW_S)

    async def keep(self) -> None:
        """Renew the lease for ever.

        Raises:
            LostError: Another one holds it, or it could not be renewed in time.
        """
        renewed_s = self._clock()
        while True:
            await self._sleep(RENEW_S)
            try:
                async with asyncio.timeout(max(0.0, renewed_s + GIVE_UP_S - self._clock())):
                    held = await self._try()
            except (UnavailableError, TimeoutError) as error:
                if self._clock() - renewed_s >= GIVE_UP_S:
                    message = f"the lease could not be renewed for {GIVE_UP_S:.0f} s"
                    raise LostError(message) from error
                continue
            if not held:
                raise LostError(f"another controller holds the lease: {self._seen[0]}")
            renewed_s = self._clock()

    async def release(self) -> None:
        """Let others have it at once."""
        with suppress(UnavailableError, NotFoundError):
            lease = await self._api.get(LEASES, self._lease)
            if lease["spec"].get("holderIdentity") == self._identity:
                spec = {**lease["spec"], "holderIdentity": None, "leaseDurationSeconds": 1}
                await self._api.replace(LEASES, {**lease, "spec": spec})

    async def _try(self) -> bool:
        """Take the lease if it is free or ours; whether it is ours now."""
        try:
            lease = await self._api.get(LEASES, self._lease)
        except NotFoundError:
            with suppress(AlreadyExistsError):
                await self._api.create(LEASES, self._body({}))
                return True
            return False
        if not self._is_free(lease):
            return False
        # A conflict means that another one was faster; that is an `UnavailableError`.
        await self._api.replace(LEASES, self._body(lease))
        return True

    def _is_free(self, lease: Object) -> bool:
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        # Clocks of machines differ, so what counts is how long we have seen no renewal.
        seen = (holder, spec.get("renewTime", ""))
        if seen != self._seen:
            self._seen, self._seen_s = seen, self._clock()
        return self._clock() - self._seen_s > spec.get("leaseDurationSeconds", LEASE_S)

    def _body(self, lease: Object) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        before: Object = lease.get("spec", {})
        mine = before.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASES.version,
            "kind": "Lease",
            "metadata": lease.get("metadata") or {"name": self._lease},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_S,
                "acquireTime": before.get("acquireTime", now) if mine else now,
                "renewTime": now,
                "leaseTransitions": before.get("leaseTransitions", 0) + (0 if mine else 1),
            },
        }
