from google.protobuf import struct_pb2 as _struct_pb2
from zeroloop.task.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Rejection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECTION_UNSPECIFIED: _ClassVar[Rejection]
    REJECTION_UNPARSABLE: _ClassVar[Rejection]
    REJECTION_BANNED_IMPORT: _ClassVar[Rejection]
    REJECTION_SYNTAX_ERROR: _ClassVar[Rejection]
    REJECTION_FAILED: _ClassVar[Rejection]
    REJECTION_NONDETERMINISTIC: _ClassVar[Rejection]
    REJECTION_OUTPUT_POLICY: _ClassVar[Rejection]
    REJECTION_INPUTS: _ClassVar[Rejection]
    REJECTION_COMPOSITE: _ClassVar[Rejection]
REJECTION_UNSPECIFIED: Rejection
REJECTION_UNPARSABLE: Rejection
REJECTION_BANNED_IMPORT: Rejection
REJECTION_SYNTAX_ERROR: Rejection
REJECTION_FAILED: Rejection
REJECTION_NONDETERMINISTIC: Rejection
REJECTION_OUTPUT_POLICY: Rejection
REJECTION_INPUTS: Rejection
REJECTION_COMPOSITE: Rejection

class ListDomainsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDomainsResponse(_message.Message):
    __slots__ = ("domains",)
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedCompositeFieldContainer[Domain]
    def __init__(self, domains: _Optional[_Iterable[_Union[Domain, _Mapping]]] = ...) -> None: ...

class Domain(_message.Message):
    __slots__ = ("name", "kinds", "styles", "validator")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    kinds: _containers.RepeatedScalarFieldContainer[_task_pb2.Kind]
    styles: _containers.RepeatedScalarFieldContainer[str]
    validator: str
    def __init__(self, name: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_task_pb2.Kind, str]]] = ..., styles: _Optional[_Iterable[str]] = ..., validator: _Optional[str] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("domain", "options")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    domain: str
    options: _struct_pb2.Struct
    def __init__(self, domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class BuildPromptsRequest(_message.Message):
    __slots__ = ("context", "specs")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SPECS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    specs: _containers.RepeatedCompositeFieldContainer[PromptSpec]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., specs: _Optional[_Iterable[_Union[PromptSpec, _Mapping]]] = ...) -> None: ...

class PromptSpec(_message.Message):
    __slots__ = ("kind", "role", "references", "task", "composites", "seeding")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    SEEDING_FIELD_NUMBER: _ClassVar[int]
    kind: _task_pb2.Kind
    role: _task_pb2.Role
    references: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    task: _task_pb2.Task
    composites: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    seeding: bool
    def __init__(self, kind: _Optional[_Union[_task_pb2.Kind, str]] = ..., role: _Optional[_Union[_task_pb2.Role, str]] = ..., references: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., composites: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ..., seeding: _Optional[bool] = ...) -> None: ...

class BuildPromptsResponse(_message.Message):
    __slots__ = ("prompts",)
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prompts: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateProposalsRequest(_message.Message):
    __slots__ = ("context", "proposals")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    proposals: _containers.RepeatedCompositeFieldContainer[Proposal]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., proposals: _Optional[_Iterable[_Union[Proposal, _Mapping]]] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("proposal_id", "kind", "response", "source", "seeding", "composites")
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEEDING_FIELD_NUMBER: _ClassVar[int]
    COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    proposal_id: str
    kind: _task_pb2.Kind
    response: str
    source: _task_pb2.Task
    seeding: bool
    composites: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    def __init__(self, proposal_id: _Optional[str] = ..., kind: _Optional[_Union[_task_pb2.Kind, str]] = ..., response: _Optional[str] = ..., source: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., seeding: _Optional[bool] = ..., composites: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ...) -> None: ...

class ValidateProposalsResponse(_message.Message):
    __slots__ = ("verdict",)
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    def __init__(self, verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("proposal_id", "task", "rejection", "not_executed", "format_ok", "detail", "runs")
    class RunsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    NOT_EXECUTED_FIELD_NUMBER: _ClassVar[int]
    FORMAT_OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    proposal_id: str
    task: _task_pb2.Task
    rejection: Rejection
    not_executed: str
    format_ok: bool
    detail: str
    runs: _containers.ScalarMap[str, int]
    def __init__(self, proposal_id: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, str]] = ..., not_executed: _Optional[str] = ..., format_ok: _Optional[bool] = ..., detail: _Optional[str] = ..., runs: _Optional[_Mapping[str, int]] = ...) -> None: ...

class JudgeSolutionsRequest(_message.Message):
    __slots__ = ("context", "solutions")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SOLUTIONS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    solutions: _containers.RepeatedCompositeFieldContainer[Solution]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., solutions: _Optional[_Iterable[_Union[Solution, _Mapping]]] = ...) -> None: ...

class Solution(_message.Message):
    __slots__ = ("solution_id", "task", "response", "require_format")
    SOLUTION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    solution_id: str
    task: _task_pb2.Task
    response: str
    require_format: bool
    def __init__(self, solution_id: _Optional[str] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., response: _Optional[str] = ..., require_format: _Optional[bool] = ...) -> None: ...

class JudgeSolutionsResponse(_message.Message):
    __slots__ = ("judgement",)
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    judgement: Judgement
    def __init__(self, judgement: _Optional[_Union[Judgement, _Mapping]] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("solution_id", "outcome", "accuracy", "format_ok", "detail", "runs")
    class RunsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SOLUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    solution_id: str
    outcome: _task_pb2.Outcome
    accuracy: float
    format_ok: bool
    detail: str
    runs: _containers.ScalarMap[str, int]
    def __init__(self, solution_id: _Optional[str] = ..., outcome: _Optional[_Union[_task_pb2.Outcome, str]] = ..., accuracy: _Optional[float] = ..., format_ok: _Optional[bool] = ..., detail: _Optional[str] = ..., runs: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ComputeRewardsRequest(_message.Message):
    __slots__ = ("context", "proposer", "solver")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SOLVER_FIELD_NUMBER: _ClassVar[int]
    context: Context
    proposer: _containers.RepeatedCompositeFieldContainer[ProposerEpisode]
    solver: _containers.RepeatedCompositeFieldContainer[SolverEpisode]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., proposer: _Optional[_Iterable[_Union[ProposerEpisode, _Mapping]]] = ..., solver: _Optional[_Iterable[_Union[SolverEpisode, _Mapping]]] = ...) -> None: ...

class ProposerEpisode(_message.Message):
    __slots__ = ("valid", "format_ok", "rollout_accuracies")
    VALID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_OK_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ACCURACIES_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    format_ok: bool
    rollout_accuracies: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, valid: _Optional[bool] = ..., format_ok: _Optional[bool] = ..., rollout_accuracies: _Optional[_Iterable[float]] = ...) -> None: ...

class SolverEpisode(_message.Message):
    __slots__ = ("outcome", "accuracy")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    outcome: _task_pb2.Outcome
    accuracy: float
    def __init__(self, outcome: _Optional[_Union[_task_pb2.Outcome, str]] = ..., accuracy: _Optional[float] = ...) -> None: ...

class ComputeRewardsResponse(_message.Message):
    __slots__ = ("proposer", "solver")
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SOLVER_FIELD_NUMBER: _ClassVar[int]
    proposer: _containers.RepeatedCompositeFieldContainer[Reward]
    solver: _containers.RepeatedCompositeFieldContainer[Reward]
    def __init__(self, proposer: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ..., solver: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("value", "success_rate", "learnability")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    LEARNABILITY_FIELD_NUMBER: _ClassVar[int]
    value: float
    success_rate: float
    learnability: float
    def __init__(self, value: _Optional[float] = ..., success_rate: _Optional[float] = ..., learnability: _Optional[float] = ...) -> None: ...

class RescoreRequest(_message.Message):
    __slots__ = ("context", "solutions")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SOLUTIONS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    solutions: _containers.RepeatedCompositeFieldContainer[Solution]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., solutions: _Optional[_Iterable[_Union[Solution, _Mapping]]] = ...) -> None: ...

class RescoreResponse(_message.Message):
    __slots__ = ("judgement",)
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    judgement: Judgement
    def __init__(self, judgement: _Optional[_Union[Judgement, _Mapping]] = ...) -> None: ...
