import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_OK: _ClassVar[Status]
    STATUS_ERROR: _ClassVar[Status]
    STATUS_TIMEOUT: _ClassVar[Status]
    STATUS_OOM: _ClassVar[Status]
    STATUS_CRASH: _ClassVar[Status]
    STATUS_TOOLARGE: _ClassVar[Status]
    STATUS_OPAQUE: _ClassVar[Status]
    STATUS_GARBLED: _ClassVar[Status]
    STATUS_NOT_EXECUTED: _ClassVar[Status]

class Determinism(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DETERMINISM_UNSPECIFIED: _ClassVar[Determinism]
    DETERMINISM_YES: _ClassVar[Determinism]
    DETERMINISM_NO: _ClassVar[Determinism]
    DETERMINISM_UNKNOWN: _ClassVar[Determinism]

class Isolation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ISOLATION_UNSPECIFIED: _ClassVar[Isolation]
    ISOLATION_GVISOR: _ClassVar[Isolation]
    ISOLATION_UNSAFE: _ClassVar[Isolation]
STATUS_UNSPECIFIED: Status
STATUS_OK: Status
STATUS_ERROR: Status
STATUS_TIMEOUT: Status
STATUS_OOM: Status
STATUS_CRASH: Status
STATUS_TOOLARGE: Status
STATUS_OPAQUE: Status
STATUS_GARBLED: Status
STATUS_NOT_EXECUTED: Status
DETERMINISM_UNSPECIFIED: Determinism
DETERMINISM_YES: Determinism
DETERMINISM_NO: Determinism
DETERMINISM_UNKNOWN: Determinism
ISOLATION_UNSPECIFIED: Isolation
ISOLATION_GVISOR: Isolation
ISOLATION_UNSAFE: Isolation

class ExecuteRequest(_message.Message):
    __slots__ = ("programs", "limits", "mode", "results_per_message_max")
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_PER_MESSAGE_MAX_FIELD_NUMBER: _ClassVar[int]
    programs: _containers.RepeatedCompositeFieldContainer[Program]
    limits: Limits
    mode: str
    results_per_message_max: int
    def __init__(self, programs: _Optional[_Iterable[_Union[Program, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., mode: _Optional[str] = ..., results_per_message_max: _Optional[int] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("result", "results")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    result: Result
    results: _containers.RepeatedCompositeFieldContainer[Result]
    def __init__(self, result: _Optional[_Union[Result, _Mapping]] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ...) -> None: ...

class ExecuteStreamRequest(_message.Message):
    __slots__ = ("program", "limits", "mode")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    program: Program
    limits: Limits
    mode: str
    def __init__(self, program: _Optional[_Union[Program, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., mode: _Optional[str] = ...) -> None: ...

class ExecuteStreamResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: Result
    def __init__(self, result: _Optional[_Union[Result, _Mapping]] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ("program_id", "source", "inputs", "check_determinism")
    PROGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    CHECK_DETERMINISM_FIELD_NUMBER: _ClassVar[int]
    program_id: str
    source: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    check_determinism: bool
    def __init__(self, program_id: _Optional[str] = ..., source: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., check_determinism: _Optional[bool] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("cpu_time", "wall_time", "memory_mib", "stdout_bytes", "value_bytes")
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    STDOUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_time: _duration_pb2.Duration
    wall_time: _duration_pb2.Duration
    memory_mib: int
    stdout_bytes: int
    value_bytes: int
    def __init__(self, cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., memory_mib: _Optional[int] = ..., stdout_bytes: _Optional[int] = ..., value_bytes: _Optional[int] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("program_id", "input_index", "status", "value", "type_name", "message", "detail", "stdout", "stdout_truncated", "cpu_time", "wall_time", "peak_memory_bytes", "determinism", "isolation", "mode", "image_digest", "cached")
    PROGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_INDEX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DETERMINISM_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    program_id: str
    input_index: int
    status: Status
    value: str
    type_name: str
    message: str
    detail: str
    stdout: bytes
    stdout_truncated: bool
    cpu_time: _duration_pb2.Duration
    wall_time: _duration_pb2.Duration
    peak_memory_bytes: int
    determinism: Determinism
    isolation: Isolation
    mode: str
    image_digest: str
    cached: bool
    def __init__(self, program_id: _Optional[str] = ..., input_index: _Optional[int] = ..., status: _Optional[_Union[Status, str]] = ..., value: _Optional[str] = ..., type_name: _Optional[str] = ..., message: _Optional[str] = ..., detail: _Optional[str] = ..., stdout: _Optional[bytes] = ..., stdout_truncated: _Optional[bool] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., determinism: _Optional[_Union[Determinism, str]] = ..., isolation: _Optional[_Union[Isolation, str]] = ..., mode: _Optional[str] = ..., image_digest: _Optional[str] = ..., cached: _Optional[bool] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCapabilitiesResponse(_message.Message):
    __slots__ = ("isolation", "platform", "runtime_version", "python_version", "image_digest", "modes", "default_limits", "workers", "queue_runs_max")
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LIMITS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_RUNS_MAX_FIELD_NUMBER: _ClassVar[int]
    isolation: Isolation
    platform: str
    runtime_version: str
    python_version: str
    image_digest: str
    modes: _containers.RepeatedScalarFieldContainer[str]
    default_limits: Limits
    workers: int
    queue_runs_max: int
    def __init__(self, isolation: _Optional[_Union[Isolation, str]] = ..., platform: _Optional[str] = ..., runtime_version: _Optional[str] = ..., python_version: _Optional[str] = ..., image_digest: _Optional[str] = ..., modes: _Optional[_Iterable[str]] = ..., default_limits: _Optional[_Union[Limits, _Mapping]] = ..., workers: _Optional[int] = ..., queue_runs_max: _Optional[int] = ...) -> None: ...
