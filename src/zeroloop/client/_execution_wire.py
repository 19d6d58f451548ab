"""Execution messages to values and back."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from zeroloop.core.execution import Capabilities, Determinism, Isolation, Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.execution.v1 import execution_pb2 as pb

_STATUS_TO_PB: dict[RunStatus, Any] = {
    status: pb.Status.Value(f"STATUS_{status.name}") for status in RunStatus
}
_STATUS_FROM_PB = {number: status for status, number in _STATUS_TO_PB.items()}
_DETERMINISM_TO_PB: dict[Determinism, Any] = {
    determinism: pb.Determinism.Value(f"DETERMINISM_{determinism.name}")
    for determinism in Determinism
}
_DETERMINISM_FROM_PB = {number: known for known, number in _DETERMINISM_TO_PB.items()}
_ISOLATION_TO_PB: dict[Isolation, Any] = {
    isolation: pb.Isolation.Value(f"ISOLATION_{isolation.name}") for isolation in Isolation
}
_ISOLATION_FROM_PB = {number: isolation for isolation, number in _ISOLATION_TO_PB.items()}


def program_to_pb(program: Program) -> pb.Program:
    return pb.Program(
        program_id=program.program_id,
        source=program.source,
        inputs=program.inputs,
        check_determinism=program.check_determinism,
    )


def program_from_pb(message: pb.Program) -> Program:
    return Program(
        message.source, tuple(message.inputs), message.program_id, message.check_determinism
    )


def limits_to_pb(limits: Limits) -> pb.Limits:
    return pb.Limits(
        cpu_time=timedelta(seconds=limits.cpu_time_s),
        wall_time=None if limits.wall_time_s is None else timedelta(seconds=limits.wall_time_s),
        memory_mib=limits.memory_mib,
        stdout_bytes=limits.stdout_bytes,
        value_bytes=limits.value_bytes,
    )


def _seconds(duration: Duration) -> float:
    """Any duration; a timedelta holds neither nanoseconds nor ten thousand years."""
    return (duration.seconds * 10**9 + duration.nanos) / 10**9


def _duration(seconds: float) -> Any:
    """Of a result, to the microsecond; made from its fields it takes a quarter of the time."""
    whole_s, us = divmod(round(seconds * 1e6), 10**6)
    return {"seconds": whole_s, "nanos": us * 1000}


def limits_from_pb(message: pb.Limits, defaults: Limits) -> Limits:
    """Fields that are unset or 0 take those of `defaults`."""
    cpu_s, wall_s = _seconds(message.cpu_time), _seconds(message.wall_time)
    return Limits(
        cpu_time_s=cpu_s or defaults.cpu_time_s,
        wall_time_s=wall_s or (None if cpu_s else defaults.wall_time_s),
        memory_mib=message.memory_mib or defaults.memory_mib,
        stdout_bytes=(
            message.stdout_bytes if message.HasField("stdout_bytes") else defaults.stdout_bytes
        ),
        value_bytes=message.value_bytes or defaults.value_bytes,
    )


def result_to_pb(result: Result) -> pb.Result:
    return pb.Result(
        program_id=result.program_id,
        input_index=result.input_index,
        status=_STATUS_TO_PB[result.status],
        value=result.value,
        type_name=result.type_name,
        message=result.message,
        detail=result.detail,
        stdout=result.stdout,
        stdout_truncated=result.stdout_truncated,
        cpu_time=_duration(result.cpu_time_s),
        wall_time=_duration(result.wall_time_s),
        peak_memory_bytes=result.peak_memory_bytes,
        determinism=_DETERMINISM_TO_PB[result.determinism],
        isolation=_ISOLATION_TO_PB[result.isolation],
        mode=result.mode,
        image_digest=result.image_digest,
        cached=result.cached,
    )


def result_from_pb(message: pb.Result) -> Result:
    """A status this client does not know can be no verdict either: it is `not_executed`."""
    return Result(
        program_id=message.program_id,
        input_index=message.input_index,
        status=_STATUS_FROM_PB.get(message.status, RunStatus.NOT_EXECUTED),
        value=message.value,
        type_name=message.type_name,
        message=message.message,
        detail=message.detail,
        stdout=message.stdout,
        stdout_truncated=message.stdout_truncated,
        cpu_time_s=_seconds(message.cpu_time),
        wall_time_s=_seconds(message.wall_time),
        peak_memory_bytes=message.peak_memory_bytes,
        determinism=_DETERMINISM_FROM_PB.get(message.determinism, Determinism.UNKNOWN),
        # What is not known to be isolated counts as not isolated.
        isolation=_ISOLATION_FROM_PB.get(message.isolation, Isolation.UNSAFE),
        mode=message.mode,
        image_digest=message.image_digest,
        cached=message.cached,
    )


def capabilities_to_pb(capabilities: Capabilities) -> pb.GetCapabilitiesResponse:
    return pb.GetCapabilitiesResponse(
        isolation=_ISOLATION_TO_PB[capabilities.isolation],
        platform=capabilities.platform,
        runtime_version=capabilities.runtime_version,
        python_version=capabilities.python_version,
        image_digest=capabilities.image_digest,
        modes=capabilities.modes,
        default_limits=limits_to_pb(capabilities.default_limits),
        workers=capabilities.workers,
        queue_runs_max=capabilities.queue_runs_max,
    )


def capabilities_from_pb(message: pb.GetCapabilitiesResponse) -> Capabilities:
    return Capabilities(
        isolation=_ISOLATION_FROM_PB.get(message.isolation, Isolation.UNSAFE),
        platform=message.platform,
        runtime_version=message.runtime_version,
        python_version=message.python_version,
        image_digest=message.image_digest,
        modes=tuple(message.modes),
        default_limits=limits_from_pb(message.default_limits, Limits()),
        workers=message.workers,
        queue_runs_max=message.queue_runs_max,
    )
