"""The store behind the buffer service.

The optimiser step blocks its thread for seconds, so every call runs on an event loop in a
thread of its own; there leases are renewed while the step computes.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from services._server.telemetry import client_interceptors
from trainer.stopping import StopRequest
from zeroloop.client.buffer import RoundClient
from zeroloop.client.channel import Access
from zeroloop.client.training import BatchClient, WeightsClient
from zeroloop.core.batches import Batch, BatchSequence, LeasedBatch, Weights
from zeroloop.core.rounds import RoundState
from zeroloop.errors import (
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    ZeroloopError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses between attempts to reach the service; the last one repeats."""

_RELEASED_LEASE_S = 1.0
"""The shortest lease there is: a lease cannot be given back, only left to run out."""


class GrpcStore:
    """Batches and weights of one run, by gRPC."""

    def __init__(
        self,
        run: str,
        target: str,
        access: Access,
        *,
        stop: StopRequest,
        lease_s: float,
        unavailable_s: float,
    ) -> None:
        self._run = run
        self._target = target
        self._access = access
        self._lease_s = lease_s
        self._unavailable_s = unavailable_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="trainer-store", daemon=True
        )
        self._thread.start()
        self._channel = self._wait(self._open())
        self._batches = BatchClient(self._channel)
        self._rounds = RoundClient(self._channel)
        self._weights = WeightsClient(self._channel)
        stop.wakes(lambda: self._loop.call_soon_threadsafe(self._stopping.set))

    def close(self) -> None:
        """Close the connection and end the thread."""
        with suppress(ZeroloopError):
            self._wait(self._channel.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def lease(self, *, wait_s: float) -> LeasedBatch | None:
        return self._call(lambda: self._lease(wait_s))

    def read(self, round_index: int) -> tuple[Batch, Sequence[BatchSequence]]:
        async def read() -> tuple[Batch, Sequence[BatchSequence]]:
            batch, sequences = await self._batches.get(self._run, round_index)
            return batch, [sequence async for sequence in sequences]

        return self._call(read)

    @contextmanager
    def keep(self, lease_token: str) -> Generator[None]:
        renewing = asyncio.run_coroutine_threadsafe(self._renew(lease_token), self._loop)
        try:
            yield
        finally:
            renewing.cancel()

    def release(self, lease_token: str) -> None:
        renewal = self._batches.renew(lease_token, lease_s=_RELEASED_LEASE_S)
        with suppress(ZeroloopError):
            self._wait(renewal)

    def ack(self, lease_token: str, metrics: Mapping[str, float]) -> None:
        self._call(lambda: self._batches.ack(lease_token, metrics=metrics))

    def trained(self, round_index: int) -> bool:
        try:
            found = self._call(lambda: self._rounds.get(self._run, round_index))
        except NotFoundError:
            return False
        return found.state is RoundState.TRAINED

    def registered(self, version: int) -> Weights | None:
        try:
            return self._call(lambda: self._weights.get(self._run, version))
        except NotFoundError:
            return None

    def versions_after(self, version: int) -> list[Weights]:
        return self._call(lambda: self._versions_after(version))

    def publish(self, weights: Weights) -> None:
        self._call(lambda: self._weights.publish(weights))

    async def _open(self) -> Any:
        return self._access.channel(self._target, client_interceptors())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    def _call(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._wait(self._persist(attempt))

    async def _persist(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Repeat `attempt` while the service is away, until told to stop."""
        give_up_at = self._loop.time() + self._unavailable_s
        pauses = iter(_BACKOFF_S)
        while True:
            try:
                return await attempt()
            except UnavailableError as error:
                pause_s = next(pauses, _BACKOFF_S[-1])
                if self._stopping.is_set() or self._loop.time() + pause_s > give_up_at:
                    raise
                logger.warning(
                    "buffer_unavailable", extra={"error": str(error), "retry_in_s": pause_s}
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _lease(self, wait_s: float) -> LeasedBatch | None:
        """Wait for a batch, or for the request to stop."""
        if self._stopping.is_set():
            return None
        leasing = asyncio.ensure_future(
            self._batches.lease(self._run, self._owner, lease_s=self._lease_s, wait_s=wait_s)
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({leasing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return leasing.result() if leasing.done() else None
        finally:
            leasing.cancel()
            stopping.cancel()

    async def _renew(self, lease_token: str) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._batches.renew(lease_token, lease_s=self._lease_s)
            except FailedPreconditionError as error:
                # The step goes on: if it is not ours to acknowledge, that call will say so.
                logger.warning("lease_lost", extra={"error": str(error)})
                return
            except ZeroloopError as error:
                logger.warning("lease_not_renewed", extra={"error": str(error)})

    async def _versions_after(self, version: int) -> list[Weights]:
        found: list[Weights] = []
        page_token = ""
        while True:
            try:
                page = await self._weights.list(self._run, page_token=page_token)
            except NotFoundError:
                return []  # The run has no rounds yet.
            found += [weights for weights in page.weights if weights.version > version]
            page_token = page.next_page_token
            # Newest first: an older one ends the search.
            if not page_token or page.weights[-1].version <= version:
                return sorted(found, key=lambda weights: weights.version)
