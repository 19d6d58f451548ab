from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_ABDUCTION: _ClassVar[Kind]
    KIND_DEDUCTION: _ClassVar[Kind]
    KIND_INDUCTION: _ClassVar[Kind]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PROPOSER: _ClassVar[Role]
    ROLE_SOLVER: _ClassVar[Role]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_CORRECT: _ClassVar[Outcome]
    OUTCOME_WRONG: _ClassVar[Outcome]
    OUTCOME_MALFORMED: _ClassVar[Outcome]
    OUTCOME_NOT_EXECUTED: _ClassVar[Outcome]
KIND_UNSPECIFIED: Kind
KIND_ABDUCTION: Kind
KIND_DEDUCTION: Kind
KIND_INDUCTION: Kind
ROLE_UNSPECIFIED: Role
ROLE_PROPOSER: Role
ROLE_SOLVER: Role
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_CORRECT: Outcome
OUTCOME_WRONG: Outcome
OUTCOME_MALFORMED: Outcome
OUTCOME_NOT_EXECUTED: Outcome

class Case(_message.Message):
    __slots__ = ("input", "output")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    output: str
    def __init__(self, input: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("task_id", "domain", "kind", "program", "imports", "cases", "message", "shown", "thought", "composites")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    THOUGHT_FIELD_NUMBER: _ClassVar[int]
    COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    domain: str
    kind: Kind
    program: str
    imports: _containers.RepeatedScalarFieldContainer[str]
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    message: str
    shown: int
    thought: str
    composites: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_id: _Optional[str] = ..., domain: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., program: _Optional[str] = ..., imports: _Optional[_Iterable[str]] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., message: _Optional[str] = ..., shown: _Optional[int] = ..., thought: _Optional[str] = ..., composites: _Optional[_Iterable[str]] = ...) -> None: ...
