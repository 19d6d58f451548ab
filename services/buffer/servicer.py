"""gRPC faces of tasks and rounds: they translate and decide nothing."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from services.buffer.retention import Retention
from services.buffer.rounds import CommitQuery, Rounds
from services.buffer.spool import Spool, spooled
from services.buffer.stages import Stages
from services.buffer.tasks import SampleQuery, TaskFilter, Tasks
from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.client import _buffer_wire as wire
from zeroloop.client import _history_wire as history
from zeroloop.client._task_wire import KINDS
from zeroloop.core.rounds import Record
from zeroloop.errors import invalid

Context = grpc.aio.ServicerContext[Any, Any]


class TaskServicer(buffer_pb2_grpc.TaskServiceServicer):
    """Serves `TaskService`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def SampleTasks(
        self, request: pb.SampleTasksRequest, context: Context
    ) -> pb.SampleTasksResponse:
        sample = await self._tasks.sample(
            SampleQuery(
                run=request.run,
                kinds=tuple(KINDS.from_pb(kind, "kinds") for kind in request.kinds),
                strategy=history.STRATEGIES.from_pb(request.strategy, "strategy"),
                count=request.count,
                draws=request.draws or 1,
                seed=request.seed,
                before_round=request.before_round,
                window_rounds=request.window_rounds or 1,
                without_composites=request.without_composites,
            )
        )
        return pb.SampleTasksResponse(
            tasks=[history.stored_task_to_pb(task) for task in sample.tasks],
            draws=[pb.Draw(task_indexes=draw) for draw in sample.draws],
        )

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        task = await self._tasks.get(request.task_id)
        return pb.GetTaskResponse(task=history.stored_task_to_pb(task))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        page = await self._tasks.list(
            TaskFilter(
                run=request.run,
                kind=KINDS.from_pb(request.kind, "kind") if request.kind else None,
                success_rate_min=_optional(request, "success_rate_min"),
                success_rate_max=_optional(request, "success_rate_max"),
                round_min=_optional(request, "round_min"),
                round_max=_optional(request, "round_max"),
            ),
            request.page_size,
            request.page_token,
        )
        return pb.ListTasksResponse(
            tasks=[history.stored_task_to_pb(task) for task in page.tasks],
            next_page_token=page.next_page_token,
            total_tasks=page.total_tasks,
        )

    async def AdmitTasks(
        self, request: pb.AdmitTasksRequest, context: Context
    ) -> pb.AdmitTasksResponse:
        new = [
            history.new_task_from_pb(task, f"tasks[{index}]")
            for index, task in enumerate(request.tasks)
        ]
        task_ids = await self._tasks.admit(request.run, request.request_id, new)
        return pb.AdmitTasksResponse(task_ids=task_ids)


class RoundServicer(buffer_pb2_grpc.RoundServiceServicer):
    """Serves `RoundService`."""

    def __init__(
        self, rounds: Rounds, stages: Stages, retention: Retention, spool_dir: Path | None
    ) -> None:
        self._rounds = rounds
        self._stages = stages
        self._retention = retention
        self._spool_dir = spool_dir

    async def OpenRound(
        self, request: pb.OpenRoundRequest, context: Context
    ) -> pb.OpenRoundResponse:
        opened = await self._rounds.open(
            request.run, request.round, request.weights_version, request.traceparent
        )
        return pb.OpenRoundResponse(round=wire.round_to_pb(opened))

    async def PutStage(
        self, request_iterator: AsyncIterator[pb.PutStageRequest], context: Context
    ) -> pb.PutStageResponse:
        try:
            stored = await self._put(request_iterator)
        finally:
            # To a client that still writes, an early answer is an internal error of its own.
            async for _ in request_iterator:
                pass
        return pb.PutStageResponse(already_stored=not stored)

    async def _put(self, messages: AsyncIterator[pb.PutStageRequest]) -> bool:
        """Store the stage that `messages` hold; False if it was stored before."""
        first = await anext(aiter(messages), None)
        if first is None or not first.HasField("header"):
            raise invalid("header", "must be the first message, got none")
        header = first.header
        summary = wire.summary_from_pb(header.summary)
        if await self._stages.is_stored(header.run, header.round, summary.stage):
            return False
        async with spooled(_record_bytes(messages), self._spool_dir) as spool:
            return await self._stages.put(header.run, header.round, summary, _records(spool))

    async def GetStage(
        self, request: pb.GetStageRequest, context: Context
    ) -> AsyncGenerator[pb.GetStageResponse]:
        stage = wire.STAGES.from_pb(request.stage, "stage")
        async for record in self._stages.get(request.run, request.round, stage):
            yield pb.GetStageResponse(record=wire.record_to_pb(record))

    async def GetRound(self, request: pb.GetRoundRequest, context: Context) -> pb.GetRoundResponse:
        found = await self._rounds.get(request.run, request.round)
        return pb.GetRoundResponse(round=wire.round_to_pb(found))

    async def CommitRound(
        self, request: pb.CommitRoundRequest, context: Context
    ) -> pb.CommitRoundResponse:
        commit = await self._rounds.commit(
            CommitQuery(
                run=request.run,
                round=request.round,
                tasks=[
                    history.new_task_from_pb(task, f"tasks[{index}]")
                    for index, task in enumerate(request.tasks)
                ],
                observations={
                    task_id: history.observation_from_pb(observation)
                    for task_id, observation in request.observations.items()
                },
                metrics=dict(request.metrics),
                queue_batch=request.queue_batch,
                tasks_max=request.tasks_max,
                buffer_full=history.BUFFER_FULL.from_pb(
                    request.buffer_full or pb.BUFFER_FULL_KEEP_NEWEST, "buffer_full"
                ),
                reservoir_seed=request.reservoir_seed,
            )
        )
        return pb.CommitRoundResponse(
            round=wire.round_to_pb(commit.round),
            task_ids=commit.task_ids,
            already_committed=commit.already_committed,
        )

    async def ListRounds(
        self, request: pb.ListRoundsRequest, context: Context
    ) -> pb.ListRoundsResponse:
        page = await self._rounds.list(request.run, request.page_size, request.page_token)
        return pb.ListRoundsResponse(
            rounds=[wire.round_to_pb(item) for item in page.rounds],
            next_page_token=page.next_page_token,
        )

    async def WatchRounds(
        self, request: pb.WatchRoundsRequest, context: Context
    ) -> AsyncGenerator[pb.WatchRoundsResponse]:
        async for current in self._rounds.watch(request.run, request.after_round):
            yield pb.WatchRoundsResponse(round=wire.round_to_pb(current))

    async def PruneRounds(
        self, request: pb.PruneRoundsRequest, context: Context
    ) -> pb.PruneRoundsResponse:
        count = await self._retention.prune(request.run, request.keep_rounds)
        return pb.PruneRoundsResponse(pruned_rounds=count)


def _optional(request: pb.ListTasksRequest, field: str) -> Any:
    return getattr(request, field) if request.HasField(field) else None


async def _record_bytes(messages: AsyncIterator[pb.PutStageRequest]) -> AsyncGenerator[bytes]:
    async for message in messages:
        if not message.HasField("record"):
            raise invalid("record", "must be in every message but the first, got none")
        yield message.record.SerializeToString()


async def _records(spool: Spool) -> AsyncGenerator[Record]:
    async for message in spool.messages():
        yield wire.record_from_pb(pb.Record.FromString(message))
