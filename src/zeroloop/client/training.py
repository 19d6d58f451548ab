"""Typed asyncio clients of what a trainer needs: batches to take, weights to publish."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import grpc.aio

from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.client import _buffer_wire as wire
from zeroloop.client import _history_wire as history
from zeroloop.client import _streams as streams
from zeroloop.client.channel import DEADLINE_S, translate_errors
from zeroloop.core.batches import Batch, BatchSequence, LeasedBatch, Weights, WeightsPage
from zeroloop.errors import InternalError, NotFoundError

BATCH_DEADLINE_S = 600.0
"""Deadline of reading one batch: the largest is some hundred megabytes."""

WATCH_DEADLINE_S = 300.0
"""How long one watching call lasts before the next one takes over."""


class BatchClient:
    """Training batches, leased to one trainer at a time."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = buffer_pb2_grpc.BatchServiceStub(channel)

    async def lease(
        self, run: str, owner: str, *, lease_s: float, wait_s: float = 0.0
    ) -> LeasedBatch | None:
        """Lease the oldest batch that is not acknowledged; None if none came in time.

        While another trainer holds that batch there is none: batches train in their order.

        Args:
            run: Whose batch; a run that does not exist yet is waited for.
            owner: Who trains; shown in errors.
            lease_s: How long the batch is the caller's, in [1, 3600]; see `renew`.
            wait_s: How long to wait for one, in [0, 600].
        """
        request = pb.LeaseBatchRequest(
            run=run,
            owner=owner,
            lease=timedelta(seconds=lease_s),
            wait=timedelta(seconds=wait_s),
        )
        try:
            with translate_errors():
                reply = await self._stub.LeaseBatch(request, timeout=wait_s + DEADLINE_S)
        except NotFoundError:
            return None
        return LeasedBatch(
            history.batch_from_pb(reply.batch),
            reply.lease_token,
            wire.datetime_of(reply.expires_at),
        )

    async def renew(self, lease_token: str, *, lease_s: float) -> datetime:
        """Make a lease last `lease_s` from now; return when it expires.

        Raises:
            FailedPreconditionError: It has expired, or another trainer holds the batch.
        """
        request = pb.RenewLeaseRequest(lease_token=lease_token, lease=timedelta(seconds=lease_s))
        with translate_errors():
            reply = await self._stub.RenewLease(request, timeout=DEADLINE_S)
        return wire.datetime_of(reply.expires_at)

    async def ack(self, lease_token: str, *, metrics: Mapping[str, float] | None = None) -> None:
        """Mark a batch as trained, after its weights are published. Safe to repeat.

        Args:
            lease_token: Of the lease.
            metrics: Figures of the optimiser step, merged into the round's.

        Raises:
            FailedPreconditionError: Another trainer has leased the batch since, or the weights
                of this round are not published.
        """
        request = pb.AckBatchRequest(lease_token=lease_token, metrics=metrics)
        with translate_errors():
            await self._stub.AckBatch(request, timeout=DEADLINE_S)

    async def get(self, run: str, round_index: int) -> tuple[Batch, AsyncGenerator[BatchSequence]]:
        """Return a batch and its sequences in their order, leased or not.

        Read the sequences to their end or close them; until then the call stays open.

        Raises:
            NotFoundError: The round has no batch.
            FailedPreconditionError: Its tokens were pruned.
        """
        request = pb.GetBatchRequest(run=run, round=round_index)
        replies = streams.read_all(
            lambda: self._stub.GetBatch(request, timeout=BATCH_DEADLINE_S), _batch_or_sequence
        )
        batch = await anext(replies, None)
        if not isinstance(batch, Batch):
            raise InternalError(f"GetBatch must start with the batch, got {type(batch).__name__}")
        return batch, _sequences(replies)


class WeightsClient:
    """Which weights exist. The bytes lie in the weights store."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = buffer_pb2_grpc.WeightsRegistryStub(channel)

    async def publish(self, weights: Weights) -> Weights:
        """Register a version whose files are in the store; return it as registered.

        Raises:
            AlreadyExistsError: The version has another digest.
            FailedPreconditionError: The version before it does not exist.
        """
        request = pb.PublishRequest(weights=history.weights_to_pb(weights))
        with translate_errors():
            reply = await self._stub.Publish(request, timeout=DEADLINE_S)
        return history.weights_from_pb(reply.weights)

    async def get(self, run: str, version: int | None = None) -> Weights:
        """Return one version; None: the newest."""
        with translate_errors():
            reply = await self._stub.Get(
                pb.GetRequest(run=run, version=version), timeout=DEADLINE_S
            )
        return history.weights_from_pb(reply.weights)

    async def list(self, run: str, *, page_size: int = 100, page_token: str = "") -> WeightsPage:
        """Return one page of the run's versions, newest first."""
        request = pb.ListRequest(run=run, page_size=page_size, page_token=page_token)
        with translate_errors():
            reply = await self._stub.List(request, timeout=DEADLINE_S)
        return WeightsPage(
            tuple(history.weights_from_pb(item) for item in reply.weights), reply.next_page_token
        )

    async def promote(self, run: str, version: int) -> Weights:
        """Mark a version to be kept for ever."""
        with translate_errors():
            reply = await self._stub.Promote(
                pb.PromoteRequest(run=run, version=version), timeout=DEADLINE_S
            )
        return history.weights_from_pb(reply.weights)

    async def watch(self, run: str, *, after_version: int = -1) -> AsyncGenerator[Weights]:
        """Yield every version above `after_version`, first those there are; never ends.

        A run that does not exist yet is waited for.
        """
        while True:
            request = pb.WatchRequest(run=run, after_version=after_version)
            replies = streams.read_until_deadline(
                partial(self._stub.Watch, request, timeout=WATCH_DEADLINE_S),
                lambda reply: history.weights_from_pb(reply.weights),
            )
            async with aclosing(replies):
                async for weights in replies:
                    after_version = weights.version
                    yield weights

    async def remove(self, run: str, version: int) -> None:
        """Forget a version whose bytes were removed.

        Raises:
            FailedPreconditionError: The version is promoted or the newest.
        """
        with translate_errors():
            await self._stub.Remove(pb.RemoveRequest(run=run, version=version), timeout=DEADLINE_S)


def _batch_or_sequence(reply: Any) -> Batch | BatchSequence:
    if reply.HasField("batch"):
        return history.batch_from_pb(reply.batch)
    return history.sequence_from_pb(reply.sequence)


async def _sequences(
    replies: AsyncGenerator[Batch | BatchSequence],
) -> AsyncGenerator[BatchSequence]:
    async with aclosing(replies):
        async for reply in replies:
            assert isinstance(reply, BatchSequence)
            yield reply
