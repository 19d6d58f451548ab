"""A buffer in memory that keeps the promises of the real one, and fails when it is told to."""

import random
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tests.unit.controller.fakes import Faults
from zeroloop.core.batches import Weights, WeightsPage
from zeroloop.core.rounds import Commit, Record, Round, RoundState, Stage, StageSummary
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
from zeroloop.errors import FailedPreconditionError, NotFoundError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class FakeTasks:
    faults: Faults
    stored: list[StoredTask] = field(default_factory=list[StoredTask])
    requests: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    left: set[str] = field(default_factory=set[str])
    """Ids of tasks that made room; they are listed still, but not drawn any more."""

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
        self.faults.maybe_fail()
        pool = [
            stored
            for kind in kinds
            for stored in self.stored
            if stored.task.kind is kind and stored.lineage.round < (before_round or 10**9)
            if stored.task.task_id not in self.left
            if not (without_composites and stored.task.composites)
        ]
        rng = random.Random(f"{seed}/{strategy}")
        drawn = [tuple(rng.sample(range(len(pool)), min(count, len(pool)))) for _ in range(draws)]
        return TaskSample(tuple(pool), tuple(drawn))

    async def get(self, task_id: str) -> StoredTask:
        self.faults.maybe_fail()
        return next(stored for stored in self.stored if stored.task.task_id == task_id)

    async def list(self, run: str, *, kind: Kind | None = None, page_size: int = 100) -> TaskPage:
        self.faults.maybe_fail()
        found = [stored for stored in self.stored if kind in (None, stored.task.kind)]
        return TaskPage(tuple(found[::-1][:page_size]), "", len(found))

    async def admit(
        self, run: str, tasks: Sequence[NewTask], *, request_id: str
    ) -> tuple[str, ...]:
        self.faults.maybe_fail()
        if request_id not in self.requests:
            self.requests[request_id] = self.add(run, tasks)
        self.faults.maybe_fail()
        return self.requests[request_id]

    def add(self, run: str, tasks: Sequence[NewTask]) -> tuple[str, ...]:
        ids: list[str] = []
        for new in tasks:
            ids.append(f"t{len(self.stored)}")
            self.stored.append(
                StoredTask(
                    task=replace(new.task, task_id=ids[-1]),
                    run=run,
                    lineage=new.lineage,
                    sequence=len(self.stored),
                    admitted_at=NOON,
                    observations=() if new.observation is None else (new.observation,),
                )
            )
        return tuple(ids)

    def retire(self, tasks_max: int) -> None:
        for kind in Kind:
            ids = [s.task.task_id for s in self.stored if s.task.kind is kind]
            self.left.update(ids[:-tasks_max])


@dataclass
class FakeRounds:
    faults: Faults
    tasks: FakeTasks
    rounds: dict[int, Round] = field(default_factory=dict[int, Round])
    records: dict[tuple[int, Stage], list[Record]] = field(
        default_factory=dict[tuple[int, Stage], list[Record]]
    )
    observations: list[Mapping[str, Observation]] = field(
        default_factory=list[Mapping[str, Observation]]
    )
    batches: list[int] = field(default_factory=list[int])

    async def open(
        self, run: str, round_index: int, *, weights_version: int, traceparent: str = ""
    ) -> Round:
        self.faults.maybe_fail()
        if round_index not in self.rounds:
            self.rounds[round_index] = Round(
                run=run,
                round=round_index,
                state=RoundState.OPEN,
                weights_version=weights_version,
                opened_at=NOON,
                traceparent=traceparent,
            )
        return self.rounds[round_index]

    async def get(self, run: str, round_index: int) -> Round:
        self.faults.maybe_fail()
        if round_index not in self.rounds:
            raise NotFoundError(f"round {round_index}")
        return self.rounds[round_index]

    async def put_stage(
        self,
        run: str,
        round_index: int,
        summary: StageSummary,
        records: Iterable[Record] | AsyncIterable[Record],
    ) -> bool:
        self.faults.maybe_fail()
        key = (round_index, summary.stage)
        assert not isinstance(records, AsyncIterable)
        new = key not in self.records
        if new:
            known = self.rounds[round_index]
            self.records[key] = list(records)
            self.rounds[round_index] = replace(known, stages=(*known.stages, summary))
        self.faults.maybe_fail()
        return new

    async def get_stage(self, run: str, round_index: int, stage: Stage) -> AsyncIterator[Record]:
        self.faults.maybe_fail()
        if (round_index, stage) not in self.records:
            raise NotFoundError(f"round {round_index}, {stage}")
        for record in self.records[round_index, stage]:
            yield record

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
        self.faults.maybe_fail()
        known = self.rounds[round_index]
        if known.state is not RoundState.OPEN:
            return Commit(known, (), already_committed=True)
        if queue_batch:
            if (round_index, Stage.REWARD) not in self.records:
                raise FailedPreconditionError("reward is missing")
            if not self.records[round_index, Stage.REWARD]:
                raise FailedPreconditionError("there are no rewards, so nothing to train on")
            self.batches.append(round_index)
        ids = self.tasks.add(run, tasks)
        if tasks_max:
            assert buffer_full is BufferFull.KEEP_NEWEST
            self.tasks.retire(tasks_max)
        self.observations.append(observations or {})
        committed = replace(known, state=RoundState.COMMITTED, metrics=dict(metrics or {}))
        self.rounds[round_index] = committed
        self.faults.maybe_fail()
        return Commit(committed, ids, already_committed=False)

    async def prune(self, run: str, *, keep_rounds: int) -> int:
        return 0


@dataclass
class FakeWeights:
    versions: list[Weights] = field(default_factory=list[Weights])

    async def get(self, run: str, version: int | None = None) -> Weights:
        found = [w for w in self.versions if version in (None, w.version)]
        if not found:
            raise NotFoundError(f"version {version}")
        return found[-1]

    async def list(self, run: str, *, page_size: int = 100, page_token: str = "") -> WeightsPage:
        return WeightsPage(tuple(self.versions[::-1]), "")

    async def publish(self, weights: Weights) -> Weights:
        self.versions.append(weights)
        return weights

    async def promote(self, run: str, version: int) -> Weights:
        index = next(i for i, w in enumerate(self.versions) if w.version == version)
        self.versions[index] = replace(self.versions[index], promoted=True)
        return self.versions[index]

    async def watch(self, run: str, *, after_version: int = -1) -> AsyncIterator[Weights]:
        for weights in self.versions:
            if weights.version > after_version:
                yield weights

    async def remove(self, run: str, version: int) -> None:
        self.versions = [w for w in self.versions if w.version != version]


class FakeBuffer:
    def __init__(self, faults: Faults | None = None) -> None:
        faults = faults or Faults()
        self.tasks = FakeTasks(faults)
        self.rounds = FakeRounds(faults, self.tasks)
        self.weights = FakeWeights()
