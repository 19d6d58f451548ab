import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from zeroloop.task.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_UNIFORM: _ClassVar[Strategy]
    STRATEGY_STEP: _ClassVar[Strategy]
    STRATEGY_MAX_NEW: _ClassVar[Strategy]
    STRATEGY_HALF_NEW: _ClassVar[Strategy]
    STRATEGY_STEP_REPEATED: _ClassVar[Strategy]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_PROPOSE: _ClassVar[Stage]
    STAGE_VALIDATE: _ClassVar[Stage]
    STAGE_ESTIMATE: _ClassVar[Stage]
    STAGE_SOLVE: _ClassVar[Stage]
    STAGE_REWARD: _ClassVar[Stage]
    STAGE_EVALUATE: _ClassVar[Stage]

class RoundState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_STATE_UNSPECIFIED: _ClassVar[RoundState]
    ROUND_STATE_OPEN: _ClassVar[RoundState]
    ROUND_STATE_COMMITTED: _ClassVar[RoundState]
    ROUND_STATE_TRAINED: _ClassVar[RoundState]

class BufferFull(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUFFER_FULL_UNSPECIFIED: _ClassVar[BufferFull]
    BUFFER_FULL_KEEP_NEWEST: _ClassVar[BufferFull]
    BUFFER_FULL_KEEP_OLDEST: _ClassVar[BufferFull]
    BUFFER_FULL_RESERVOIR: _ClassVar[BufferFull]
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_UNIFORM: Strategy
STRATEGY_STEP: Strategy
STRATEGY_MAX_NEW: Strategy
STRATEGY_HALF_NEW: Strategy
STRATEGY_STEP_REPEATED: Strategy
STAGE_UNSPECIFIED: Stage
STAGE_PROPOSE: Stage
STAGE_VALIDATE: Stage
STAGE_ESTIMATE: Stage
STAGE_SOLVE: Stage
STAGE_REWARD: Stage
STAGE_EVALUATE: Stage
ROUND_STATE_UNSPECIFIED: RoundState
ROUND_STATE_OPEN: RoundState
ROUND_STATE_COMMITTED: RoundState
ROUND_STATE_TRAINED: RoundState
BUFFER_FULL_UNSPECIFIED: BufferFull
BUFFER_FULL_KEEP_NEWEST: BufferFull
BUFFER_FULL_KEEP_OLDEST: BufferFull
BUFFER_FULL_RESERVOIR: BufferFull

class Lineage(_message.Message):
    __slots__ = ("round", "proposed_by_weights", "reference_task_ids", "validator", "image_digest", "origin", "composite_task_ids")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_BY_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    round: int
    proposed_by_weights: int
    reference_task_ids: _containers.RepeatedScalarFieldContainer[str]
    validator: str
    image_digest: str
    origin: str
    composite_task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, round: _Optional[int] = ..., proposed_by_weights: _Optional[int] = ..., reference_task_ids: _Optional[_Iterable[str]] = ..., validator: _Optional[str] = ..., image_digest: _Optional[str] = ..., origin: _Optional[str] = ..., composite_task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("round", "weights_version", "attempts", "success_rate")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    round: int
    weights_version: int
    attempts: int
    success_rate: float
    def __init__(self, round: _Optional[int] = ..., weights_version: _Optional[int] = ..., attempts: _Optional[int] = ..., success_rate: _Optional[float] = ...) -> None: ...

class StoredTask(_message.Message):
    __slots__ = ("task", "run", "lineage", "observations", "sequence", "admitted_at")
    TASK_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    run: str
    lineage: Lineage
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    sequence: int
    admitted_at: _timestamp_pb2.Timestamp
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., run: _Optional[str] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ..., sequence: _Optional[int] = ..., admitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NewTask(_message.Message):
    __slots__ = ("task", "lineage", "observation")
    TASK_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    lineage: Lineage
    observation: Observation
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., observation: _Optional[_Union[Observation, _Mapping]] = ...) -> None: ...

class SampleTasksRequest(_message.Message):
    __slots__ = ("run", "kinds", "strategy", "count", "draws", "seed", "before_round", "window_rounds", "without_composites")
    RUN_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BEFORE_ROUND_FIELD_NUMBER: _ClassVar[int]
    WINDOW_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    run: str
    kinds: _containers.RepeatedScalarFieldContainer[_task_pb2.Kind]
    strategy: Strategy
    count: int
    draws: int
    seed: int
    before_round: int
    window_rounds: int
    without_composites: bool
    def __init__(self, run: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_task_pb2.Kind, str]]] = ..., strategy: _Optional[_Union[Strategy, str]] = ..., count: _Optional[int] = ..., draws: _Optional[int] = ..., seed: _Optional[int] = ..., before_round: _Optional[int] = ..., window_rounds: _Optional[int] = ..., without_composites: _Optional[bool] = ...) -> None: ...

class Draw(_message.Message):
    __slots__ = ("task_indexes",)
    TASK_INDEXES_FIELD_NUMBER: _ClassVar[int]
    task_indexes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, task_indexes: _Optional[_Iterable[int]] = ...) -> None: ...

class SampleTasksResponse(_message.Message):
    __slots__ = ("tasks", "draws")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[StoredTask]
    draws: _containers.RepeatedCompositeFieldContainer[Draw]
    def __init__(self, tasks: _Optional[_Iterable[_Union[StoredTask, _Mapping]]] = ..., draws: _Optional[_Iterable[_Union[Draw, _Mapping]]] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: StoredTask
    def __init__(self, task: _Optional[_Union[StoredTask, _Mapping]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("run", "kind", "success_rate_min", "success_rate_max", "round_min", "round_max", "page_size", "page_token")
    RUN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_MIN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_MAX_FIELD_NUMBER: _ClassVar[int]
    ROUND_MIN_FIELD_NUMBER: _ClassVar[int]
    ROUND_MAX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run: str
    kind: _task_pb2.Kind
    success_rate_min: float
    success_rate_max: float
    round_min: int
    round_max: int
    page_size: int
    page_token: str
    def __init__(self, run: _Optional[str] = ..., kind: _Optional[_Union[_task_pb2.Kind, str]] = ..., success_rate_min: _Optional[float] = ..., success_rate_max: _Optional[float] = ..., round_min: _Optional[int] = ..., round_max: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token", "total_tasks")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[StoredTask]
    next_page_token: str
    total_tasks: int
    def __init__(self, tasks: _Optional[_Iterable[_Union[StoredTask, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_tasks: _Optional[int] = ...) -> None: ...

class AdmitTasksRequest(_message.Message):
    __slots__ = ("run", "request_id", "tasks")
    RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    run: str
    request_id: str
    tasks: _containers.RepeatedCompositeFieldContainer[NewTask]
    def __init__(self, run: _Optional[str] = ..., request_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[NewTask, _Mapping]]] = ...) -> None: ...

class AdmitTasksResponse(_message.Message):
    __slots__ = ("task_ids",)
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Episode(_message.Message):
    __slots__ = ("index", "kind", "role", "task_id", "reference_task_ids", "prompt_token_ids", "token_ids", "logprobs", "text", "finish_reason", "weights_version", "seed", "outcome", "accuracy", "format_ok", "proposal_index", "composite_task_ids")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_OK_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_INDEX_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    index: int
    kind: _task_pb2.Kind
    role: _task_pb2.Role
    task_id: str
    reference_task_ids: _containers.RepeatedScalarFieldContainer[str]
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    text: str
    finish_reason: str
    weights_version: int
    seed: int
    outcome: _task_pb2.Outcome
    accuracy: float
    format_ok: bool
    proposal_index: int
    composite_task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, index: _Optional[int] = ..., kind: _Optional[_Union[_task_pb2.Kind, str]] = ..., role: _Optional[_Union[_task_pb2.Role, str]] = ..., task_id: _Optional[str] = ..., reference_task_ids: _Optional[_Iterable[str]] = ..., prompt_token_ids: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ..., text: _Optional[str] = ..., finish_reason: _Optional[str] = ..., weights_version: _Optional[int] = ..., seed: _Optional[int] = ..., outcome: _Optional[_Union[_task_pb2.Outcome, str]] = ..., accuracy: _Optional[float] = ..., format_ok: _Optional[bool] = ..., proposal_index: _Optional[int] = ..., composite_task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StoredVerdict(_message.Message):
    __slots__ = ("index", "task", "rejection", "not_executed", "format_ok", "detail")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    NOT_EXECUTED_FIELD_NUMBER: _ClassVar[int]
    FORMAT_OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    index: int
    task: _task_pb2.Task
    rejection: str
    not_executed: str
    format_ok: bool
    detail: str
    def __init__(self, index: _Optional[int] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., rejection: _Optional[str] = ..., not_executed: _Optional[str] = ..., format_ok: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("index", "outcomes", "accuracies")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ACCURACIES_FIELD_NUMBER: _ClassVar[int]
    index: int
    outcomes: _containers.RepeatedScalarFieldContainer[_task_pb2.Outcome]
    accuracies: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, index: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[_task_pb2.Outcome, str]]] = ..., accuracies: _Optional[_Iterable[float]] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("stage", "index", "reward", "advantage", "token_weight")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    ADVANTAGE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    index: int
    reward: float
    advantage: float
    token_weight: float
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., index: _Optional[int] = ..., reward: _Optional[float] = ..., advantage: _Optional[float] = ..., token_weight: _Optional[float] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("episode", "verdict", "estimate", "reward")
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    episode: Episode
    verdict: StoredVerdict
    estimate: Estimate
    reward: Reward
    def __init__(self, episode: _Optional[_Union[Episode, _Mapping]] = ..., verdict: _Optional[_Union[StoredVerdict, _Mapping]] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ..., reward: _Optional[_Union[Reward, _Mapping]] = ...) -> None: ...

class StageSummary(_message.Message):
    __slots__ = ("stage", "records", "duration_s", "figures", "stored_at")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    records: int
    duration_s: float
    figures: _containers.ScalarMap[str, float]
    stored_at: _timestamp_pb2.Timestamp
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., records: _Optional[int] = ..., duration_s: _Optional[float] = ..., figures: _Optional[_Mapping[str, float]] = ..., stored_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("run", "round", "state", "weights_version", "stages", "metrics", "opened_at", "committed_at", "traceparent")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_VERSION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    state: RoundState
    weights_version: int
    stages: _containers.RepeatedCompositeFieldContainer[StageSummary]
    metrics: _containers.ScalarMap[str, float]
    opened_at: _timestamp_pb2.Timestamp
    committed_at: _timestamp_pb2.Timestamp
    traceparent: str
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., state: _Optional[_Union[RoundState, str]] = ..., weights_version: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[StageSummary, _Mapping]]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., committed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class OpenRoundRequest(_message.Message):
    __slots__ = ("run", "round", "weights_version", "traceparent")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    weights_version: int
    traceparent: str
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., weights_version: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class OpenRoundResponse(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: Round
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ...) -> None: ...

class PutStageRequest(_message.Message):
    __slots__ = ("header", "record")
    class Header(_message.Message):
        __slots__ = ("run", "round", "summary")
        RUN_FIELD_NUMBER: _ClassVar[int]
        ROUND_FIELD_NUMBER: _ClassVar[int]
        SUMMARY_FIELD_NUMBER: _ClassVar[int]
        run: str
        round: int
        summary: StageSummary
        def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., summary: _Optional[_Union[StageSummary, _Mapping]] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    header: PutStageRequest.Header
    record: Record
    def __init__(self, header: _Optional[_Union[PutStageRequest.Header, _Mapping]] = ..., record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class PutStageResponse(_message.Message):
    __slots__ = ("already_stored",)
    ALREADY_STORED_FIELD_NUMBER: _ClassVar[int]
    already_stored: bool
    def __init__(self, already_stored: _Optional[bool] = ...) -> None: ...

class GetStageRequest(_message.Message):
    __slots__ = ("run", "round", "stage")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    stage: Stage
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., stage: _Optional[_Union[Stage, str]] = ...) -> None: ...

class GetStageResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class GetRoundRequest(_message.Message):
    __slots__ = ("run", "round")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ...) -> None: ...

class GetRoundResponse(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: Round
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ...) -> None: ...

class CommitRoundRequest(_message.Message):
    __slots__ = ("run", "round", "tasks", "observations", "metrics", "queue_batch", "tasks_max", "buffer_full", "reservoir_seed")
    class ObservationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Observation
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Observation, _Mapping]] = ...) -> None: ...
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BATCH_FIELD_NUMBER: _ClassVar[int]
    TASKS_MAX_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FULL_FIELD_NUMBER: _ClassVar[int]
    RESERVOIR_SEED_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    tasks: _containers.RepeatedCompositeFieldContainer[NewTask]
    observations: _containers.MessageMap[str, Observation]
    metrics: _containers.ScalarMap[str, float]
    queue_batch: bool
    tasks_max: int
    buffer_full: BufferFull
    reservoir_seed: int
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[NewTask, _Mapping]]] = ..., observations: _Optional[_Mapping[str, Observation]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., queue_batch: _Optional[bool] = ..., tasks_max: _Optional[int] = ..., buffer_full: _Optional[_Union[BufferFull, str]] = ..., reservoir_seed: _Optional[int] = ...) -> None: ...

class CommitRoundResponse(_message.Message):
    __slots__ = ("round", "task_ids", "already_committed")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    round: Round
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    already_committed: bool
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ..., task_ids: _Optional[_Iterable[str]] = ..., already_committed: _Optional[bool] = ...) -> None: ...

class ListRoundsRequest(_message.Message):
    __slots__ = ("run", "page_size", "page_token")
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run: str
    page_size: int
    page_token: str
    def __init__(self, run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRoundsResponse(_message.Message):
    __slots__ = ("rounds", "next_page_token")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    next_page_token: str
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchRoundsRequest(_message.Message):
    __slots__ = ("run", "after_round")
    RUN_FIELD_NUMBER: _ClassVar[int]
    AFTER_ROUND_FIELD_NUMBER: _ClassVar[int]
    run: str
    after_round: int
    def __init__(self, run: _Optional[str] = ..., after_round: _Optional[int] = ...) -> None: ...

class WatchRoundsResponse(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: Round
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ...) -> None: ...

class PruneRoundsRequest(_message.Message):
    __slots__ = ("run", "keep_rounds")
    RUN_FIELD_NUMBER: _ClassVar[int]
    KEEP_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    run: str
    keep_rounds: int
    def __init__(self, run: _Optional[str] = ..., keep_rounds: _Optional[int] = ...) -> None: ...

class PruneRoundsResponse(_message.Message):
    __slots__ = ("pruned_rounds",)
    PRUNED_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    pruned_rounds: int
    def __init__(self, pruned_rounds: _Optional[int] = ...) -> None: ...

class LeaseBatchRequest(_message.Message):
    __slots__ = ("run", "owner", "lease", "wait")
    RUN_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    run: str
    owner: str
    lease: _duration_pb2.Duration
    wait: _duration_pb2.Duration
    def __init__(self, run: _Optional[str] = ..., owner: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("run", "round", "sequences", "response_tokens", "attempt", "traceparent", "weights_version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    sequences: int
    response_tokens: int
    attempt: int
    traceparent: str
    weights_version: int
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ..., sequences: _Optional[int] = ..., response_tokens: _Optional[int] = ..., attempt: _Optional[int] = ..., traceparent: _Optional[str] = ..., weights_version: _Optional[int] = ...) -> None: ...

class LeaseBatchResponse(_message.Message):
    __slots__ = ("batch", "lease_token", "expires_at")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    lease_token: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ..., lease_token: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("lease_token", "lease")
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    lease: _duration_pb2.Duration
    def __init__(self, lease_token: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RenewLeaseResponse(_message.Message):
    __slots__ = ("expires_at",)
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AckBatchRequest(_message.Message):
    __slots__ = ("lease_token", "metrics")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    lease_token: str
    metrics: _containers.ScalarMap[str, float]
    def __init__(self, lease_token: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AckBatchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("run", "round")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run: str
    round: int
    def __init__(self, run: _Optional[str] = ..., round: _Optional[int] = ...) -> None: ...

class BatchSequence(_message.Message):
    __slots__ = ("index", "kind", "role", "prompt_token_ids", "token_ids", "logprobs", "advantage", "token_weight")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    ADVANTAGE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    index: int
    kind: _task_pb2.Kind
    role: _task_pb2.Role
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    advantage: float
    token_weight: float
    def __init__(self, index: _Optional[int] = ..., kind: _Optional[_Union[_task_pb2.Kind, str]] = ..., role: _Optional[_Union[_task_pb2.Role, str]] = ..., prompt_token_ids: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ..., advantage: _Optional[float] = ..., token_weight: _Optional[float] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch", "sequence")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    sequence: BatchSequence
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ..., sequence: _Optional[_Union[BatchSequence, _Mapping]] = ...) -> None: ...

class Weights(_message.Message):
    __slots__ = ("run", "version", "uri", "manifest_digest", "bytes", "promoted", "published_at", "attributes")
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    run: str
    version: int
    uri: str
    manifest_digest: str
    bytes: int
    promoted: bool
    published_at: _timestamp_pb2.Timestamp
    attributes: _struct_pb2.Struct
    def __init__(self, run: _Optional[str] = ..., version: _Optional[int] = ..., uri: _Optional[str] = ..., manifest_digest: _Optional[str] = ..., bytes: _Optional[int] = ..., promoted: _Optional[bool] = ..., published_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("run", "version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    version: int
    def __init__(self, run: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("run", "page_size", "page_token")
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run: str
    page_size: int
    page_token: str
    def __init__(self, run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("weights", "next_page_token")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.RepeatedCompositeFieldContainer[Weights]
    next_page_token: str
    def __init__(self, weights: _Optional[_Iterable[_Union[Weights, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PromoteRequest(_message.Message):
    __slots__ = ("run", "version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    version: int
    def __init__(self, run: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class PromoteResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("run", "after_version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    after_version: int
    def __init__(self, run: _Optional[str] = ..., after_version: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("run", "version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    version: int
    def __init__(self, run: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
