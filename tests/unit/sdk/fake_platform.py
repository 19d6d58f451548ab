"""The platform's services behind the real wire, in a thread, over a recorded run.

Real servers, authentication and error mapping; only what they serve is made up.
"""

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Self

import grpc.aio

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from tests.unit.sdk.recorded_run import RecordedRun, recorded_run
from zeroloop.buffer.v1 import buffer_pb2 as bpb
from zeroloop.buffer.v1 import buffer_pb2_grpc as bgrpc
from zeroloop.client import (
    _buffer_wire,
    _controller_wire,
    _execution_wire,
    _history_wire,
    _inference_wire,
)
from zeroloop.client._task_wire import KINDS
from zeroloop.controller.v1 import controller_pb2 as cpb
from zeroloop.controller.v1 import controller_pb2_grpc as cgrpc
from zeroloop.core.execution import Determinism, Result
from zeroloop.core.generation import Completion, FinishReason
from zeroloop.core.runs import Endpoints, Phase, Run
from zeroloop.core.tasks import RunStatus as ExecutionStatus
from zeroloop.errors import InvalidRequestError, NotFoundError, UnavailableError, Violation
from zeroloop.execution.v1 import execution_pb2 as epb
from zeroloop.execution.v1 import execution_pb2_grpc as egrpc
from zeroloop.inference.v1 import inference_pb2 as ipb
from zeroloop.inference.v1 import inference_pb2_grpc as igrpc

TOKEN = "a-token-of-this-test"


class FakePlatform:
    """Starts on entering and stops on leaving; `address` is every service's address."""

    def __init__(self, recorded: RecordedRun | None = None) -> None:
        self.recorded = recorded or recorded_run(rounds=3)
        self.controller = FakeController(self)
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: grpc.aio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(10)

    async def _start(self) -> None:
        server = grpc.aio.server(
            interceptors=[TokenInterceptor(SharedToken(TOKEN)), ErrorInterceptor()]
        )
        cgrpc.add_RunServiceServicer_to_server(self.controller, server)
        bgrpc.add_TaskServiceServicer_to_server(FakeTasks(self.recorded), server)
        bgrpc.add_RoundServiceServicer_to_server(FakeRounds(self.recorded), server)
        bgrpc.add_WeightsRegistryServicer_to_server(FakeWeights(self.recorded), server)
        egrpc.add_ExecutionServiceServicer_to_server(FakeExecution(), server)
        igrpc.add_InferenceServiceServicer_to_server(FakeInference(), server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._server = server

    async def _stop(self) -> None:
        assert self._server is not None
        await self._server.stop(None)


class FakeController(cgrpc.RunServiceServicer):
    """Keeps runs by name; watching one plays back the recorded events."""

    def __init__(self, platform: FakePlatform) -> None:
        self._platform = platform
        self.runs = {platform.recorded.run.name: platform.recorded.run}
        self.created: list[cpb.CreateRunRequest] = []
        self.watches_lost = 0
        """Watches that break after their first message before one works."""
        self.services_down = False

    async def CreateRun(self, request: Any, context: Any) -> Any:
        self.created.append(request)
        spec = _controller_wire.spec_from_pb(request.spec)
        if "rolouts" in spec.settings:
            problem = "unknown option 'rolouts'; did you mean rollouts?"
            raise InvalidRequestError(problem, [Violation("spec.settings.rolouts", problem)])
        name = request.name or f"run-{request.request_id[:6]}"
        pending = replace(self._platform.recorded.run.status, phase=Phase.PENDING)
        made = replace(self._platform.recorded.run, name=name, spec=spec, status=pending)
        self.runs[name] = made
        return cpb.CreateRunResponse(run=_controller_wire.run_to_pb(self.runs[name]))

    async def GetRun(self, request: Any, context: Any) -> Any:
        return cpb.GetRunResponse(run=_controller_wire.run_to_pb(self._run(request.name)))

    async def ListRuns(self, request: Any, context: Any) -> Any:
        names = sorted(self.runs)
        start = int(request.page_token or 0)
        page = [_controller_wire.run_to_pb(self.runs[n]) for n in names[start : start + 1]]
        more = str(start + 1) if start + 1 < len(names) else ""
        return cpb.ListRunsResponse(runs=page, next_page_token=more)

    async def WatchRun(self, request: Any, context: Any) -> Any:
        run = self._run(request.name)
        playing = replace(run, status=replace(run.status, phase=Phase.PLAYING))
        yield cpb.WatchRunResponse(run=_controller_wire.run_to_pb(playing))
        if self.watches_lost > 0:
            self.watches_lost -= 1
            raise UnavailableError("restarting")
        for event in self._platform.recorded.events:
            yield cpb.WatchRunResponse(event=_controller_wire.event_to_pb(event))
        self.runs[run.name] = replace(run, status=self._platform.recorded.run.status)
        yield cpb.WatchRunResponse(run=_controller_wire.run_to_pb(self.runs[run.name]))

    async def ListEvents(self, request: Any, context: Any) -> Any:
        self._run(request.name)
        start = int(request.page_token or 0)
        end = start + min(request.page_size, 7)
        events = self._platform.recorded.events
        return cpb.ListEventsResponse(
            events=[_controller_wire.event_to_pb(event) for event in events[start:end]],
            next_page_token=str(end) if end < len(events) else "",
        )

    async def SuspendRun(self, request: Any, context: Any) -> Any:
        return cpb.SuspendRunResponse(run=self._set(request.name, Phase.SUSPENDED))

    async def ResumeRun(self, request: Any, context: Any) -> Any:
        return cpb.ResumeRunResponse(run=self._set(request.name, Phase.PLAYING))

    async def StopRun(self, request: Any, context: Any) -> Any:
        return cpb.StopRunResponse(run=self._set(request.name, Phase.STOPPED))

    async def PromoteWeights(self, request: Any, context: Any) -> Any:
        self._run(request.name)
        service = request.inference_service
        uri = f"pvc://runs/{request.name}/{request.version}" if service else ""
        return cpb.PromoteWeightsResponse(version=request.version, storage_uri=uri)

    async def GetEndpoints(self, request: Any, context: Any) -> Any:
        address = "" if self.services_down else self._platform.address
        return _controller_wire.endpoints_to_pb(
            Endpoints(inference=address, execution=address, reward=address, buffer=address)
        )

    def _set(self, name: str, phase: Phase) -> Any:
        run = self._run(name)
        self.runs[name] = replace(run, status=replace(run.status, phase=phase))
        return _controller_wire.run_to_pb(self.runs[name])

    def _run(self, name: str) -> Run:
        if name not in self.runs:
            raise NotFoundError(f"no run {name!r}")
        return self.runs[name]


class FakeTasks(bgrpc.TaskServiceServicer):
    """Lists the recorded tasks, newest first, a few per page."""

    PAGE = 20

    def __init__(self, recorded: RecordedRun) -> None:
        self._recorded = recorded

    async def GetTask(self, request: Any, context: Any) -> Any:
        for task in self._recorded.tasks:
            if task.task_id == request.task_id:
                return bpb.GetTaskResponse(task=_history_wire.stored_task_to_pb(task))
        raise NotFoundError(f"no task {request.task_id!r}")

    async def ListTasks(self, request: Any, context: Any) -> Any:
        kind = KINDS.from_pb(request.kind, "kind") if request.kind else None
        low = request.success_rate_min if request.HasField("success_rate_min") else None
        high = request.success_rate_max if request.HasField("success_rate_max") else None
        found = [
            task
            for task in reversed(self._recorded.tasks)
            if (kind is None or task.kind is kind)
            and (low is None or (task.success_rate is not None and task.success_rate >= low))
            and (high is None or (task.success_rate is not None and task.success_rate <= high))
        ]
        start = int(request.page_token or 0)
        end = start + min(self.PAGE, request.page_size)
        return bpb.ListTasksResponse(
            tasks=[_history_wire.stored_task_to_pb(task) for task in found[start:end]],
            next_page_token=str(end) if end < len(found) else "",
            total_tasks=len(found),
        )


class FakeRounds(bgrpc.RoundServiceServicer):
    """Serves the recorded rounds and records."""

    def __init__(self, recorded: RecordedRun) -> None:
        self._recorded = recorded

    async def GetRound(self, request: Any, context: Any) -> Any:
        for one in self._recorded.rounds:
            if one.round == request.round:
                return bpb.GetRoundResponse(round=_buffer_wire.round_to_pb(one))
        raise NotFoundError(f"no round {request.round}")

    async def ListRounds(self, request: Any, context: Any) -> Any:
        return bpb.ListRoundsResponse(
            rounds=[_buffer_wire.round_to_pb(one) for one in self._recorded.rounds]
        )

    async def GetStage(self, request: Any, context: Any) -> Any:
        stage = _buffer_wire.STAGES.from_pb(request.stage, "stage")
        if (request.round, stage) not in self._recorded.records:
            raise NotFoundError(f"stage {stage} of round {request.round} is not stored")
        for record in self._recorded.records[request.round, stage]:
            yield bpb.GetStageResponse(record=_buffer_wire.record_to_pb(record))

    async def PruneRounds(self, request: Any, context: Any) -> Any:
        kept = len(self._recorded.rounds) - request.keep_rounds
        return bpb.PruneRoundsResponse(pruned_rounds=max(0, kept))


class FakeWeights(bgrpc.WeightsRegistryServicer):
    """Serves the recorded versions."""

    def __init__(self, recorded: RecordedRun) -> None:
        self._recorded = recorded

    async def Get(self, request: Any, context: Any) -> Any:
        versions = {weights.version: weights for weights in self._recorded.weights}
        version = request.version if request.HasField("version") else max(versions)
        if version not in versions:
            raise NotFoundError(f"no weights v{version}")
        return bpb.GetResponse(weights=_history_wire.weights_to_pb(versions[version]))

    async def List(self, request: Any, context: Any) -> Any:
        newest_first = reversed(self._recorded.weights)
        return bpb.ListResponse(weights=[_history_wire.weights_to_pb(w) for w in newest_first])


class FakeExecution(egrpc.ExecutionServiceServicer):
    """Reverses its input, whatever the program; `boom` in the source fails."""

    async def Execute(self, request: Any, context: Any) -> Any:
        for program in request.programs:
            failed = "boom" in program.source
            for index, given in reversed(list(enumerate(program.inputs))):
                result = Result(
                    program_id=program.program_id,
                    input_index=index,
                    status=ExecutionStatus.ERROR if failed else ExecutionStatus.OK,
                    value="" if failed else repr(given.strip("'")[::-1]),
                    type_name="ValueError" if failed else "str",
                    message="boom" if failed else "",
                    wall_time_s=0.015,
                    determinism=Determinism.YES,
                )
                yield epb.ExecuteResponse(result=_execution_wire.result_to_pb(result))


class FakeInference(igrpc.InferenceServiceServicer):
    """Completes each prompt with its seed, last sample first."""

    async def Generate(self, request: Any, context: Any) -> Any:
        for index, prompt in reversed(list(enumerate(request.prompts))):
            for sample in reversed(range(max(1, request.sampling.n))):
                completion = Completion(
                    prompt_index=index,
                    sample_index=sample,
                    text=f"{prompt.text} {prompt.seed + sample}",
                    token_ids=[1, 2],
                    finish_reason=FinishReason.STOP,
                )
                message = _inference_wire.completion_to_pb(completion)
                yield ipb.GenerateResponse(completion=message)
