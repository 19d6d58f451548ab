"""Typed asyncio clients of the buffer: tasks, rounds, batches, weights.

    async with open_channel(address, token=token) as channel:
        buffer = BufferClient(channel)
        async for record in buffer.rounds.get_stage("demo", 3, Stage.SOLVE):
            ...

Every method may raise `NotFoundError` (no such run, round, task or version),
`InvalidRequestError` (a value is out of range), `AuthError` and `UnavailableError` (the service
or its database did not answer; nothing is half written, and repeating the call is safe).
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing

import grpc.aio

from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.buffer.v1 import buffer_pb2_grpc
from zeroloop.client import _buffer_wire as wire
from zeroloop.client import _history_wire as history
from zeroloop.client import _streams as streams
from zeroloop.client._task_wire import KINDS
from zeroloop.client.channel import DEADLINE_S, translate_errors
from zeroloop.client.training import BatchClient, WeightsClient
from zeroloop.core.rounds import Commit, Record, Round, RoundPage, Stage, StageSummary
from zeroloop.core.stored_tasks import (
    BufferFull,
    NewTask,
    Observation,
    StoredTask,
    Strategy,
    TaskPage,
    TaskSample,
)
from zeroloop.core.tasks import Kind

STAGE_DEADLINE_S = 600.0
"""Deadline of storing or reading one stage: the largest is some hundred megabytes."""

WATCH_DEADLINE_S = 300.0
"""How long one watching call lasts before the next one takes over."""


class BufferClient:
    """All clients of one buffer. The channel belongs to the caller."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.tasks = TaskClient(channel)
        self.rounds = RoundClient(channel)
        self.batches = BatchClient(channel)
        self.weights = WeightsClient(channel)


class TaskClient:
    """Verified tasks of every run."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = buffer_pb2_grpc.TaskServiceStub(channel)

    async def sample(
        self,
        run: str,
        kinds: Sequence[Kind],
        strategy: Strategy,
        count: int,
        *,
        seed: int,
        draws: int = 1,
        before_round: int = 0,
        window_rounds: int = 1,
        without_composites: bool = False,
    ) -> TaskSample:
        """Draw `draws` times `count` tasks.

        From a buffer that holds fewer, UNIFORM and STEP draw each once; MAX_NEW and HALF_NEW
        repeat tasks. STEP_REPEATED repeats them at any time.

        The same arguments and admitted rounds give the same tasks.

        Args:
            run: Whose tasks.
            kinds: Whose buffers, in this order; several are concatenated.
            strategy: How to draw.
            count: Tasks per draw, in [1, 4096].
            seed: Of the draws.
            draws: Independent draws, in [1, 4096].
            before_round: Only tasks admitted in rounds below this one; 0 means all.
            window_rounds: For MAX_NEW and HALF_NEW: rounds that count as new.
            without_composites: Leave out tasks that build on others.
        """
        request = pb.SampleTasksRequest(
            run=run,
            kinds=[KINDS.to_pb(kind) for kind in kinds],
            strategy=history.STRATEGIES.to_pb(strategy),
            count=count,
            draws=draws,
            seed=seed,
            before_round=before_round,
            window_rounds=window_rounds,
            without_composites=without_composites,
        )
        with translate_errors():
            reply = await self._stub.SampleTasks(request, timeout=DEADLINE_S)
        return TaskSample(
            tuple(history.stored_task_from_pb(task) for task in reply.tasks),
            tuple(tuple(draw.task_indexes) for draw in reply.draws),
        )

    async def get(self, task_id: str) -> StoredTask:
        """Return one task with its history."""
        with translate_errors():
            reply = await self._stub.GetTask(pb.GetTaskRequest(task_id=task_id), timeout=DEADLINE_S)
        return history.stored_task_from_pb(reply.task)

    async def list(
        self,
        run: str,
        *,
        kind: Kind | None = None,
        success_rate_min: float | None = None,
        success_rate_max: float | None = None,
        round_min: int | None = None,
        round_max: int | None = None,
        page_size: int = 100,
        page_token: str = "",
    ) -> TaskPage:
        """Return one page of the run's tasks that match, newest first.

        Bounds on the success rate leave out tasks that were never observed.
        """
        request = pb.ListTasksRequest(
            run=run,
            kind=None if kind is None else KINDS.to_pb(kind),
            success_rate_min=success_rate_min,
            success_rate_max=success_rate_max,
            round_min=round_min,
            round_max=round_max,
            page_size=page_size,
            page_token=page_token,
        )
        with translate_errors():
            reply = await self._stub.ListTasks(request, timeout=DEADLINE_S)
        return TaskPage(
            tuple(history.stored_task_from_pb(task) for task in reply.tasks),
            reply.next_page_token,
            reply.total_tasks,
        )

    async def admit(
        self, run: str, tasks: Sequence[NewTask], *, request_id: str
    ) -> tuple[str, ...]:
        """Admit tasks outside a round, such as seeds; return their ids, aligned.

        Repeating a `request_id` changes nothing and returns the ids of the first time.
        """
        request = pb.AdmitTasksRequest(
            run=run, request_id=request_id, tasks=[history.new_task_to_pb(new) for new in tasks]
        )
        with translate_errors():
            reply = await self._stub.AdmitTasks(request, timeout=DEADLINE_S)
        return tuple(reply.task_ids)


class RoundClient:
    """Rounds of self-play and the stored output of their stages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = buffer_pb2_grpc.RoundServiceStub(channel)

    async def open(
        self, run: str, round_index: int, *, weights_version: int, traceparent: str = ""
    ) -> Round:
        """Open a round, or return it as it is.

        Raises:
            FailedPreconditionError: The round before it is not committed.
        """
        request = pb.OpenRoundRequest(
            run=run, round=round_index, weights_version=weights_version, traceparent=traceparent
        )
        with translate_errors():
            reply = await self._stub.OpenRound(request, timeout=DEADLINE_S)
        return wire.round_from_pb(reply.round)

    async def put_stage(
        self,
        run: str,
        round_index: int,
        summary: StageSummary,
        records: Iterable[Record] | AsyncIterable[Record],
    ) -> bool:
        """Store the output of a stage, whole or not at all; return whether this call did.

        False means that it was stored before, which stays as it is. An error of `records`
        is raised as it is, and nothing is stored.

        Raises:
            FailedPreconditionError: The round is committed, and the stage is not EVALUATE.
        """
        reply = await streams.write_all(
            lambda messages: self._stub.PutStage(messages, timeout=STAGE_DEADLINE_S),
            _put_messages(run, round_index, summary, records),
        )
        return not reply.already_stored

    def get_stage(self, run: str, round_index: int, stage: Stage) -> AsyncGenerator[Record]:
        """Iterate over the records of a stored stage in their order.

        Raises:
            NotFoundError: The stage is not stored.
            FailedPreconditionError: Its records were pruned.
        """
        request = pb.GetStageRequest(
            run=run,
            round=round_index,
            stage=wire.STAGES.to_pb(stage),
        )
        return streams.read_all(
            lambda: self._stub.GetStage(request, timeout=STAGE_DEADLINE_S),
            lambda reply: wire.record_from_pb(reply.record),
        )

    async def get(self, run: str, round_index: int) -> Round:
        """Return one round."""
        request = pb.GetRoundRequest(run=run, round=round_index)
        with translate_errors():
            reply = await self._stub.GetRound(request, timeout=DEADLINE_S)
        return wire.round_from_pb(reply.round)

    async def commit(
        self,
        run: str,
        round_index: int,
        *,
        tasks: Sequence[NewTask] = (),
        observations: Mapping[str, Observation] | None = None,
        metrics: Mapping[str, float] | None = None,
        queue_batch: bool = True,
        tasks_max: int = 0,
        buffer_full: BufferFull = BufferFull.KEEP_NEWEST,
        reservoir_seed: int = 0,
    ) -> Commit:
        """Admit tasks, append observations and queue the batch in one transaction.

        A round that is committed stays as it is.

        Args:
            run: Whose round.
            round_index: Which round.
            tasks: To admit, in this order.
            observations: New observations of tasks that exist already, by their id.
            metrics: Merged into the round's.
            queue_batch: False for rounds that are not trained on, such as round 0.
            tasks_max: Most tasks that the buffer of one kind keeps. 0: no limit.
            buffer_full: Which tasks stay in a buffer that is full.
            reservoir_seed: For RESERVOIR; the same in every commit of a run.

        Raises:
            FailedPreconditionError: A batch is to be queued, and a stage of `BATCH_STAGES` is
                missing or there are no rewards.
        """
        request = pb.CommitRoundRequest(
            run=run,
            round=round_index,
            tasks=[history.new_task_to_pb(new) for new in tasks],
            metrics=metrics,
            queue_batch=queue_batch,
            tasks_max=tasks_max,
            buffer_full=history.BUFFER_FULL.to_pb(buffer_full),
            reservoir_seed=reservoir_seed,
        )
        for task_id, observation in (observations or {}).items():
            request.observations[task_id].CopyFrom(history.observation_to_pb(observation))
        with translate_errors():
            reply = await self._stub.CommitRound(request, timeout=DEADLINE_S)
        return Commit(
            wire.round_from_pb(reply.round), tuple(reply.task_ids), reply.already_committed
        )

    async def list(self, run: str, *, page_size: int = 100, page_token: str = "") -> RoundPage:
        """Return one page of the run's rounds, oldest first."""
        request = pb.ListRoundsRequest(run=run, page_size=page_size, page_token=page_token)
        with translate_errors():
            reply = await self._stub.ListRounds(request, timeout=DEADLINE_S)
        return RoundPage(
            tuple(wire.round_from_pb(item) for item in reply.rounds), reply.next_page_token
        )

    async def watch(self, run: str, *, after_round: int = -1) -> AsyncGenerator[Round]:
        """Yield each round above `after_round`, and again when its state changes; never ends.

        A run that does not exist yet is waited for.
        """
        seen: dict[int, Round] = {}
        request = pb.WatchRoundsRequest(run=run, after_round=after_round)
        while True:
            replies = streams.read_until_deadline(
                lambda: self._stub.WatchRounds(request, timeout=WATCH_DEADLINE_S),
                lambda reply: wire.round_from_pb(reply.round),
            )
            async with aclosing(replies):
                async for current in replies:
                    known = seen.get(current.round)
                    if known is None or known.state is not current.state:
                        seen[current.round] = current
                        yield current

    async def prune(self, run: str, *, keep_rounds: int) -> int:
        """Remove tokens and stages of all but the newest rounds; return how many it pruned.

        Tasks, rewards, round records and the outcomes of evaluations stay, and so does
        everything of a round whose batch is not trained.
        """
        request = pb.PruneRoundsRequest(run=run, keep_rounds=keep_rounds)
        with translate_errors():
            reply = await self._stub.PruneRounds(request, timeout=STAGE_DEADLINE_S)
        return reply.pruned_rounds


async def _put_messages(
    run: str,
    round_index: int,
    summary: StageSummary,
    records: Iterable[Record] | AsyncIterable[Record],
) -> AsyncIterator[pb.PutStageRequest]:
    yield pb.PutStageRequest(
        header=pb.PutStageRequest.Header(
            run=run, round=round_index, summary=wire.summary_to_pb(summary)
        )
    )
    async for record in streams.each(records):
        yield pb.PutStageRequest(record=wire.record_to_pb(record))
