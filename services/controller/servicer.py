"""Serves `RunService` from `Runs`: translates and decides nothing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from services.controller.promoting import HandOver, promote
from services.controller.runs import Runs
from zeroloop.client import _controller_wire as wire
from zeroloop.client.channel import Access
from zeroloop.controller.v1 import controller_pb2 as pb
from zeroloop.controller.v1 import controller_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]


class RunServicer(stubs.RunServiceServicer):
    """The user's API."""

    def __init__(self, runs: Runs, access: Access, hand_over: HandOver) -> None:
        """`access` opens the buffers of the runs; `hand_over` is where promoted weights go."""
        self._runs = runs
        self._access = access
        self._hand_over = hand_over

    async def CreateRun(
        self, request: pb.CreateRunRequest, context: Context
    ) -> pb.CreateRunResponse:
        spec = wire.spec_from_pb(request.spec)
        run = await self._runs.create(request.name, spec, request.request_id)
        return pb.CreateRunResponse(run=wire.run_to_pb(run))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=wire.run_to_pb(self._runs.get(request.name)))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        page = self._runs.page(request.page_size, request.page_token)
        runs = [wire.run_to_pb(run) for run in page.runs]
        return pb.ListRunsResponse(runs=runs, next_page_token=page.next_page_token)

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: Context
    ) -> AsyncIterator[pb.WatchRunResponse]:
        async for update in self._runs.watch(request.name):
            yield pb.WatchRunResponse(
                run=None if update.run is None else wire.run_to_pb(update.run),
                event=None if update.event is None else wire.event_to_pb(update.event),
            )

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        page = await self._runs.events(request.name, request.page_size, request.page_token)
        events = [wire.event_to_pb(event) for event in page.events]
        return pb.ListEventsResponse(events=events, next_page_token=page.next_page_token)

    async def SuspendRun(
        self, request: pb.SuspendRunRequest, context: Context
    ) -> pb.SuspendRunResponse:
        run = await self._runs.suspend(request.name)
        return pb.SuspendRunResponse(run=wire.run_to_pb(run))

    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: Context
    ) -> pb.ResumeRunResponse:
        run = await self._runs.resume(request.name, request.rounds)
        return pb.ResumeRunResponse(run=wire.run_to_pb(run))

    async def StopRun(self, request: pb.StopRunRequest, context: Context) -> pb.StopRunResponse:
        run = await self._runs.stop(request.name, resumable=request.resumable)
        return pb.StopRunResponse(run=wire.run_to_pb(run))

    async def PromoteWeights(
        self, request: pb.PromoteWeightsRequest, context: Context
    ) -> pb.PromoteWeightsResponse:
        endpoints = self._runs.endpoints(request.name)
        promoted = await promote(
            endpoints,
            self._access,
            self._hand_over,
            run=request.name,
            version=request.version,
            inference_service=request.inference_service,
        )
        return pb.PromoteWeightsResponse(version=promoted.version, storage_uri=promoted.storage_uri)

    async def GetEndpoints(
        self, request: pb.GetEndpointsRequest, context: Context
    ) -> pb.GetEndpointsResponse:
        return wire.endpoints_to_pb(self._runs.endpoints(request.run))
