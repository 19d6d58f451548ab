"""The buffer's wire in front of a store in memory: real gRPC, no database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio

from services._server.errors import ErrorInterceptor
from trainer.store import MemoryStore
from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.client import _history_wire as wire
from zeroloop.errors import FailedPreconditionError, NotFoundError

TOKEN = "secret"


class Batches(buffer_pb2_grpc.BatchServiceServicer):
    """`BatchService` of one store; remembers what a test wants to know."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.renewals: list[tuple[str, float]] = []
        self.waits_s: list[float] = []
        self.metadata: list[dict[str, str]] = []

    async def LeaseBatch(self, request: pb.LeaseBatchRequest, context: Any) -> Any:
        self.metadata.append(dict(context.invocation_metadata()))
        wait_s = request.wait.ToTimedelta().total_seconds()
        self.waits_s.append(wait_s)
        for _ in range(1 + int(wait_s / 0.05)):
            leased = self._store.lease(wait_s=0)
            if leased is not None:
                reply = pb.LeaseBatchResponse(
                    batch=wire.batch_to_pb(leased.batch), lease_token=leased.lease_token
                )
                reply.expires_at.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
                return reply
            await asyncio.sleep(0.05)
        raise NotFoundError("no batch waits")

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: Any) -> Any:
        self.renewals.append((request.lease_token, request.lease.ToTimedelta().total_seconds()))
        if request.lease_token == "lost":
            raise FailedPreconditionError("another trainer holds the batch")
        return pb.RenewLeaseResponse()

    async def AckBatch(self, request: pb.AckBatchRequest, context: Any) -> Any:
        self._store.ack(request.lease_token, dict(request.metrics))
        return pb.AckBatchResponse()

    async def GetBatch(
        self, request: pb.GetBatchRequest, context: Any
    ) -> AsyncIterator[pb.GetBatchResponse]:
        batch, sequences = self._store.read(request.round)
        yield pb.GetBatchResponse(batch=wire.batch_to_pb(batch))
        for sequence in sequences:
            yield pb.GetBatchResponse(sequence=wire.sequence_to_pb(sequence))


class Rounds(buffer_pb2_grpc.RoundServiceServicer):
    """`RoundService` of one store, as far as a trainer needs it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def GetRound(self, request: pb.GetRoundRequest, context: Any) -> Any:
        if request.round not in self._store.batches:
            raise NotFoundError(f"round {request.round} is not opened")
        trained = self._store.trained(request.round)
        state = pb.ROUND_STATE_TRAINED if trained else pb.ROUND_STATE_COMMITTED
        return pb.GetRoundResponse(
            round=pb.Round(run=request.run, round=request.round, state=state)
        )


class Registry(buffer_pb2_grpc.WeightsRegistryServicer):
    """`WeightsRegistry` of one store, in pages of two."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def Publish(self, request: pb.PublishRequest, context: Any) -> Any:
        self._store.publish(wire.weights_from_pb(request.weights))
        return pb.PublishResponse(weights=request.weights)

    async def Get(self, request: pb.GetRequest, context: Any) -> Any:
        weights = self._store.registered(request.version)
        if weights is None:
            raise NotFoundError(f"version {request.version} is not registered")
        return pb.GetResponse(weights=wire.weights_to_pb(weights))

    async def List(self, request: pb.ListRequest, context: Any) -> Any:
        newest_first = self._store.versions_after(-1)[::-1]
        start = int(request.page_token or 0)
        page = newest_first[start : start + 2]
        more = str(start + 2) if start + 2 < len(newest_first) else ""
        return pb.ListResponse(
            weights=[wire.weights_to_pb(weights) for weights in page], next_page_token=more
        )


class ServedStore:
    """A store and the address where it is served."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.batches = Batches(store)
        self.target = ""


@contextmanager
def serve(store: MemoryStore, *, port: int = 0) -> Iterator[ServedStore]:
    """Serve `store` on `port`, by default a free one, on an event loop in a thread of its own."""
    served = ServedStore(store)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> grpc.aio.Server:
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        buffer_pb2_grpc.add_BatchServiceServicer_to_server(served.batches, server)
        buffer_pb2_grpc.add_RoundServiceServicer_to_server(Rounds(store), server)
        buffer_pb2_grpc.add_WeightsRegistryServicer_to_server(Registry(store), server)
        served.target = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
