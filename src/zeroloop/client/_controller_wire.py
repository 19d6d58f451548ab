"""Runs, from values to messages and back."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from zeroloop.client._task_wire import EnumTable
from zeroloop.controller.v1 import controller_pb2 as pb
from zeroloop.core.runs import (
    Condition,
    ConditionType,
    Endpoints,
    EventType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
)

PHASES = EnumTable(
    {
        Phase.PENDING: pb.PHASE_PENDING,
        Phase.STARTING: pb.PHASE_STARTING,
        Phase.PLAYING: pb.PHASE_PLAYING,
        Phase.SUSPENDED: pb.PHASE_SUSPENDED,
        Phase.DEGRADED: pb.PHASE_DEGRADED,
        Phase.COMPLETED: pb.PHASE_COMPLETED,
        Phase.FAILED: pb.PHASE_FAILED,
        Phase.STOPPED: pb.PHASE_STOPPED,
    }
)


def spec_to_pb(spec: RunSpec) -> pb.RunSpec:
    """Return the message for `spec`."""
    return pb.RunSpec(
        model=spec.model,
        preset=spec.preset,
        rounds=spec.rounds,
        seed=spec.seed,
        settings=_struct(dict(spec.settings)),
        suspend=spec.suspend,
        heldout=spec.heldout,
    )


def spec_from_pb(message: pb.RunSpec) -> RunSpec:
    """Return the spec that `message` carries; its values are not checked."""
    return RunSpec(
        model=message.model,
        preset=message.preset,
        rounds=message.rounds,
        seed=message.seed,
        settings=_mapping(message.settings),
        suspend=message.suspend,
        heldout=message.heldout,
    )


def run_to_pb(run: Run) -> pb.Run:
    """Return the message for `run`."""
    return pb.Run(
        name=run.name,
        spec=spec_to_pb(run.spec),
        status=_status_to_pb(run.status),
        created_at=_timestamp(run.created_at),
        effective_settings=_struct(dict(run.effective_settings)),
    )


def run_from_pb(message: pb.Run) -> Run:
    """Return the run that `message` carries."""
    return Run(
        name=message.name,
        spec=spec_from_pb(message.spec),
        status=_status_from_pb(message.status),
        created_at=_datetime(message.created_at),
        effective_settings=_mapping(message.effective_settings),
    )


def event_to_pb(event: RunEvent) -> pb.RunEvent:
    """Return the message for `event`."""
    return pb.RunEvent(
        at=_timestamp(event.at),
        round=event.round,
        stage=event.stage,
        type=event.type,
        message=event.message,
        figures=event.figures,
    )


def event_from_pb(message: pb.RunEvent) -> RunEvent:
    """Return the event that `message` carries; unknown types read as a warning."""
    known = message.type in list(EventType)
    return RunEvent(
        at=_datetime(message.at),
        round=message.round,
        stage=message.stage,
        type=EventType(message.type) if known else EventType.WARNING,
        message=message.message,
        figures=dict(message.figures),
    )


def endpoints_from_pb(message: pb.GetEndpointsResponse) -> Endpoints:
    """Return the endpoints that `message` carries."""
    return Endpoints(
        inference=message.inference,
        execution=message.execution,
        reward=message.reward,
        buffer=message.buffer,
    )


def endpoints_to_pb(endpoints: Endpoints) -> pb.GetEndpointsResponse:
    """Return the message for `endpoints`."""
    return pb.GetEndpointsResponse(
        inference=endpoints.inference,
        execution=endpoints.execution,
        reward=endpoints.reward,
        buffer=endpoints.buffer,
    )


def _status_to_pb(status: RunStatus) -> pb.RunStatus:
    return pb.RunStatus(
        phase=PHASES.to_pb(status.phase),  # pyright: ignore[reportArgumentType]
        conditions=[_condition_to_pb(condition) for condition in status.conditions],
        round=status.round,
        stage=status.stage,
        weights_version=status.weights_version,
        tasks=status.tasks,
        solver_accuracy=status.solver_accuracy,
        started_at=_timestamp_or_none(status.started_at),
        ended_at=_timestamp_or_none(status.ended_at),
    )


def _status_from_pb(message: pb.RunStatus) -> RunStatus:
    return RunStatus(
        phase=PHASES.from_pb(message.phase, "status.phase"),
        conditions=tuple(_condition_from_pb(condition) for condition in message.conditions),
        round=message.round,
        stage=message.stage,
        weights_version=message.weights_version,
        tasks=message.tasks,
        solver_accuracy=message.solver_accuracy,
        started_at=_datetime(message.started_at) if message.HasField("started_at") else None,
        ended_at=_datetime(message.ended_at) if message.HasField("ended_at") else None,
    )


def _condition_to_pb(condition: Condition) -> pb.Condition:
    return pb.Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        changed_at=_timestamp(condition.changed_at),
    )


def _condition_from_pb(message: pb.Condition) -> Condition:
    return Condition(
        type=ConditionType(message.type),
        status=message.status,
        reason=message.reason,
        message=message.message,
        changed_at=_datetime(message.changed_at),
    )


def _struct(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def _mapping(struct: Struct) -> dict[str, Any]:
    return json_format.MessageToDict(struct)


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _timestamp_or_none(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else _timestamp(moment)


def _datetime(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
