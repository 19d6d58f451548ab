"""Typed client of the controller: create, watch and steer runs of self-play."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc.aio

from zeroloop.client import _controller_wire as wire
from zeroloop.client._streams import read_all
from zeroloop.client.channel import DEADLINE_S, STREAM_DEADLINE_S, translate_errors
from zeroloop.controller.v1 import controller_pb2 as pb
from zeroloop.controller.v1 import controller_pb2_grpc as stubs
from zeroloop.core.runs import (
    Endpoints,
    EventPage,
    Promotion,
    Run,
    RunPage,
    RunSpec,
    WatchUpdate,
)


class RunClient:
    """Calls `RunService` on an open channel.

    Every method raises errors of `zeroloop.errors` alone: `InvalidRequestError` for a
    setting that is unknown or out of range, `NotFoundError` for an unknown run,
    `FailedPreconditionError` if the run's phase does not allow it, `UnavailableError` if the
    controller does not answer. All methods may be repeated.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = stubs.RunServiceStub(channel)

    async def create_run(self, spec: RunSpec, *, request_id: str, name: str = "") -> Run:
        """Create a run and start to play it.

        Args:
            spec: What is wanted.
            request_id: Chosen by the caller; repeating it returns the same run.
            name: Lower-case letters, digits and hyphens; empty: follows from `request_id`.

        Raises:
            AlreadyExistsError: A run of this name has another spec.
        """
        request = pb.CreateRunRequest(name=name, spec=wire.spec_to_pb(spec), request_id=request_id)
        with translate_errors():
            response = await self._stub.CreateRun(request, timeout=DEADLINE_S)
        return wire.run_from_pb(response.run)

    async def get_run(self, name: str) -> Run:
        """Return a run as it stands."""
        with translate_errors():
            response = await self._stub.GetRun(pb.GetRunRequest(name=name), timeout=DEADLINE_S)
        return wire.run_from_pb(response.run)

    async def list_runs(self, *, page_size: int = 0, page_token: str = "") -> RunPage:
        """Return one page of runs, newest first."""
        request = pb.ListRunsRequest(page_size=page_size, page_token=page_token)
        with translate_errors():
            response = await self._stub.ListRuns(request, timeout=DEADLINE_S)
        runs = tuple(wire.run_from_pb(run) for run in response.runs)
        return RunPage(runs, response.next_page_token)

    def watch_run(
        self, name: str, *, deadline_s: float = STREAM_DEADLINE_S
    ) -> AsyncGenerator[WatchUpdate]:
        """Iterate over what happens in a run until it ends, first its present state.

        Raises:
            UnavailableError: `deadline_s` have passed or the controller is gone; watch again.
        """
        request = pb.WatchRunRequest(name=name)
        return read_all(lambda: self._stub.WatchRun(request, timeout=deadline_s), _update)

    async def list_events(
        self, name: str, *, page_size: int = 0, page_token: str = ""
    ) -> EventPage:
        """Return one page of what happened in a run, but for progress, oldest first."""
        request = pb.ListEventsRequest(name=name, page_size=page_size, page_token=page_token)
        with translate_errors():
            response = await self._stub.ListEvents(request, timeout=DEADLINE_S)
        events = tuple(wire.event_from_pb(event) for event in response.events)
        return EventPage(events, response.next_page_token)

    async def suspend_run(self, name: str) -> Run:
        """Let the present stage end, then play no further."""
        request = pb.SuspendRunRequest(name=name)
        with translate_errors():
            response = await self._stub.SuspendRun(request, timeout=DEADLINE_S)
        return wire.run_from_pb(response.run)

    async def resume_run(self, name: str, *, rounds: int = 0) -> Run:
        """Go on at the first missing stage.

        Args:
            name: Of the run.
            rounds: Rounds to play in all; 0 leaves it.
        """
        request = pb.ResumeRunRequest(name=name, rounds=rounds)
        with translate_errors():
            response = await self._stub.ResumeRun(request, timeout=DEADLINE_S)
        return wire.run_from_pb(response.run)

    async def stop_run(self, name: str, *, resumable: bool = False) -> Run:
        """Stop within seconds, for good or until `resume_run`."""
        request = pb.StopRunRequest(name=name, resumable=resumable)
        with translate_errors():
            response = await self._stub.StopRun(request, timeout=DEADLINE_S)
        return wire.run_from_pb(response.run)

    async def promote_weights(
        self, name: str, version: int, *, inference_service: str = ""
    ) -> Promotion:
        """Keep a version of the weights for ever, and hand it to an InferenceService.

        Args:
            name: Of the run.
            version: Of its weights.
            inference_service: On Kubernetes: whose `storageUri` it becomes; empty: nobody's.

        Raises:
            FailedPreconditionError: The installation does not allow that InferenceService.
            NotFoundError: There is no such run, version or InferenceService.
        """
        request = pb.PromoteWeightsRequest(
            name=name, version=version, inference_service=inference_service
        )
        with translate_errors():
            response = await self._stub.PromoteWeights(request, timeout=DEADLINE_S)
        return Promotion(response.version, response.storage_uri)

    async def get_endpoints(self, run: str = "") -> Endpoints:
        """Return the addresses of the other services, of one run or the platform's own."""
        request = pb.GetEndpointsRequest(run=run)
        with translate_errors():
            response = await self._stub.GetEndpoints(request, timeout=DEADLINE_S)
        return wire.endpoints_from_pb(response)


def _update(response: Any) -> WatchUpdate:
    return WatchUpdate(
        wire.run_from_pb(response.run) if response.HasField("run") else None,
        wire.event_from_pb(response.event) if response.HasField("event") else None,
    )
