"""gRPC faces of batches and weights: they translate and decide nothing."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc.aio

from services.buffer.batches import Batches
from services.buffer.weights import Registry
from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.client import _history_wire as history
from zeroloop.errors import NotFoundError

Context = grpc.aio.ServicerContext[Any, Any]


class BatchServicer(buffer_pb2_grpc.BatchServiceServicer):
    """Serves `BatchService`."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def LeaseBatch(
        self, request: pb.LeaseBatchRequest, context: Context
    ) -> pb.LeaseBatchResponse:
        leased = await self._batches.lease(
            request.run,
            request.owner,
            lease_s=request.lease.ToTimedelta().total_seconds(),
            wait_s=request.wait.ToTimedelta().total_seconds(),
        )
        if leased is None:
            raise NotFoundError(f"run {request.run!r}: no batch is free yet; call again")
        return pb.LeaseBatchResponse(
            batch=history.batch_to_pb(leased.batch),
            lease_token=leased.lease_token,
            expires_at=leased.expires_at,
        )

    async def RenewLease(
        self, request: pb.RenewLeaseRequest, context: Context
    ) -> pb.RenewLeaseResponse:
        lease_s = request.lease.ToTimedelta().total_seconds()
        expires_at = await self._batches.renew(request.lease_token, lease_s)
        return pb.RenewLeaseResponse(expires_at=expires_at)

    async def AckBatch(self, request: pb.AckBatchRequest, context: Context) -> pb.AckBatchResponse:
        await self._batches.acknowledge(request.lease_token, dict(request.metrics))
        return pb.AckBatchResponse()

    async def GetBatch(
        self, request: pb.GetBatchRequest, context: Context
    ) -> AsyncGenerator[pb.GetBatchResponse]:
        batch = await self._batches.get(request.run, request.round)
        yield pb.GetBatchResponse(batch=history.batch_to_pb(batch))
        async for sequence in self._batches.sequences(batch):
            yield pb.GetBatchResponse(sequence=history.sequence_to_pb(sequence))


class RegistryServicer(buffer_pb2_grpc.WeightsRegistryServicer):
    """Serves `WeightsRegistry`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def Publish(self, request: pb.PublishRequest, context: Context) -> pb.PublishResponse:
        weights = await self._registry.publish(history.weights_from_pb(request.weights))
        return pb.PublishResponse(weights=history.weights_to_pb(weights))

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        version = request.version if request.HasField("version") else None
        weights = await self._registry.get(request.run, version)
        return pb.GetResponse(weights=history.weights_to_pb(weights))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        page = await self._registry.list(request.run, request.page_size, request.page_token)
        return pb.ListResponse(
            weights=[history.weights_to_pb(item) for item in page.weights],
            next_page_token=page.next_page_token,
        )

    async def Promote(self, request: pb.PromoteRequest, context: Context) -> pb.PromoteResponse:
        weights = await self._registry.promote(request.run, request.version)
        return pb.PromoteResponse(weights=history.weights_to_pb(weights))

    async def Watch(
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncGenerator[pb.WatchResponse]:
        async for weights in self._registry.watch(request.run, request.after_version):
            yield pb.WatchResponse(weights=history.weights_to_pb(weights))

    async def Remove(self, request: pb.RemoveRequest, context: Context) -> pb.RemoveResponse:
        await self._registry.remove(request.run, request.version)
        return pb.RemoveResponse()
