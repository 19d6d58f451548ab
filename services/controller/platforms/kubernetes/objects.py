"""A run as an object of the Kubernetes API, and back. Values in, values out."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from services.controller.options import effective, flatten, settings_of
from services.controller.platforms.kubernetes.api import RUNS, Object
from services.controller.store import StoredRun
from zeroloop.core.runs import (
    Condition,
    ConditionType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
)
from zeroloop.errors import InvalidRequestError

REQUEST_ID: Final = "zeroloop.dev/request-id"
TRACEPARENT: Final = "zeroloop.dev/traceparent"
RUN_LABEL: Final = "zeroloop.dev/run"

_FIELDS: Final = {
    ("inference", "replicas"): "inference.replicas",
    ("inference", "keepAfterRun"): "inference.keep_after_run",
    ("training", "nodes"): "training.nodes",
    ("training", "ranksPerNode"): "training.ranks",
    ("training", "roundsPerJob"): "training.rounds_per_job",
    ("training", "colocate"): "training.colocate",
    ("training", "queue"): "training.queue",
}
"""Fields of a spec that are settings of a run, by the setting's name."""

_MESSAGE_CHARS_MAX = 1024
"""Of an Event; the API server refuses longer ones."""


def object_of(stored: StoredRun) -> dict[str, Any]:
    """The object to create for a run that was asked for by gRPC."""
    run = stored.run
    annotations = {REQUEST_ID: stored.request_id, TRACEPARENT: stored.traceparent}
    return {
        "apiVersion": RUNS.version,
        "kind": "SelfPlayRun",
        "metadata": {
            "name": run.name,
            "annotations": {key: value for key, value in annotations.items() if value},
        },
        "spec": _spec_to(run.spec),
    }


def stored_of(item: Object) -> StoredRun:
    """The run that an object describes.

    What its spec says is not checked here; `effective_settings` is empty if it is wrong.
    """
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    spec = spec_of(item)
    in_force: Mapping[str, Any] = {}
    try:
        settings = settings_of(spec)
    except InvalidRequestError:
        pass
    else:
        spec = replace(spec, rounds=spec.rounds or settings.algorithm.total_steps)
        in_force = effective(spec, settings)
    run = Run(
        name=metadata["name"],
        spec=spec,
        status=_status_of(item.get("status") or {}),
        created_at=_moment(metadata["creationTimestamp"]),
        effective_settings=in_force,
    )
    return StoredRun(run, annotations.get(REQUEST_ID, ""), annotations.get(TRACEPARENT, ""))


def spec_of(item: Object) -> RunSpec:
    """What an object asks for, as it stands there."""
    spec = item["spec"]
    settings: dict[str, Any] = {
        name: _value(text) for name, text in (spec.get("settings") or {}).items()
    }
    for (section, field), name in _FIELDS.items():
        if field in (spec.get(section) or {}):
            settings[name] = spec[section][field]
    return RunSpec(
        model=spec["model"]["uri"],
        preset=spec.get("preset", ""),
        rounds=spec.get("rounds", 0),
        seed=spec.get("seed", 0),
        settings=settings,
        suspend=spec.get("suspend", False),
        heldout=spec.get("heldout", ""),
    )


def spec_changes(item: Object, wanted: RunSpec) -> dict[str, Any]:
    """The merge patch that makes an object ask for what is wanted; empty if it does.

    Only `rounds` and `suspend` change after a run was created.
    """
    now = stored_of(item).run.spec
    changed: dict[str, Any] = {}
    if wanted.rounds != now.rounds:
        changed["rounds"] = wanted.rounds
    if wanted.suspend != now.suspend:
        changed["suspend"] = wanted.suspend
    return {"spec": changed} if changed else {}


def status_to(run: Run, generation: int) -> dict[str, Any]:
    """A run's status as the object has it; absent values are None, which removes them."""
    status = run.status
    return {
        "observedGeneration": generation,
        "phase": status.phase.value.capitalize(),
        "progress": f"{status.round}/{run.spec.rounds}",
        "weights": f"v{status.weights_version}",
        "solver": f"{status.solver_accuracy:.2f}" if status.solver_accuracy else None,
        "currentRound": status.round,
        "stage": status.stage or None,
        "weightsVersion": status.weights_version,
        "tasks": status.tasks,
        "solverAccuracy": status.solver_accuracy,
        "startTime": _text(status.started_at),
        "completionTime": _text(status.ended_at),
        "conditions": [_condition_to(condition, generation) for condition in status.conditions],
    }


def event_to(item: Object, event: RunEvent, *, name: str) -> dict[str, Any]:
    """A Kubernetes Event that tells of something that happened in a run."""
    metadata = item["metadata"]
    moment = _text(event.at)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": reference(item),
        "type": "Warning" if event.type.value == "warning" else "Normal",
        "reason": event.type.value.capitalize(),
        "message": event.message[:_MESSAGE_CHARS_MAX],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": "zeroloop-controller"},
        "reportingComponent": "zeroloop.dev/controller",
    }


def reference(item: Object) -> dict[str, Any]:
    """A reference to a run's object."""
    metadata = item["metadata"]
    return {
        "apiVersion": RUNS.version,
        "kind": "SelfPlayRun",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }


def owner(item: Object) -> dict[str, Any]:
    """The owner reference of what belongs to a run: it goes when the run does."""
    found = reference(item)
    del found["namespace"]
    return {**found, "controller": True}


def _spec_to(spec: RunSpec) -> dict[str, Any]:
    made: dict[str, Any] = {"model": {"uri": spec.model}, "rounds": spec.rounds}
    optional = {"preset": spec.preset, "seed": spec.seed, "heldout": spec.heldout}
    made |= {name: value for name, value in optional.items() if value}
    if spec.suspend:
        made["suspend"] = True
    if spec.settings:
        made["settings"] = {name: _setting(value) for name, value in flatten(spec.settings).items()}
    return made


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    """A setting as JSON, else as it is written: `0.1`, `true`, `keep_newest`."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _condition_to(condition: Condition, generation: int) -> dict[str, Any]:
    return {
        "type": condition.type.value,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": _text(condition.changed_at),
        "observedGeneration": generation,
    }


def _status_of(status: Object) -> RunStatus:
    known = {kind.value for kind in ConditionType}
    conditions = tuple(
        Condition(
            type=ConditionType(found["type"]),
            status=found["status"] == "True",
            reason=found["reason"],
            changed_at=_moment(found["lastTransitionTime"]),
            message=found.get("message", ""),
        )
        for found in status.get("conditions") or ()
        if found["type"] in known
    )
    return RunStatus(
        phase=Phase((status.get("phase") or Phase.PENDING).lower()),
        conditions=conditions,
        round=status.get("currentRound", 0),
        stage=status.get("stage", ""),
        weights_version=status.get("weightsVersion", 0),
        tasks=status.get("tasks", 0),
        solver_accuracy=status.get("solverAccuracy", 0.0),
        started_at=_moment(status["startTime"]) if status.get("startTime") else None,
        ended_at=_moment(status["completionTime"]) if status.get("completionTime") else None,
    )


def _text(moment: datetime | None) -> str | None:
    """As the API server writes it: whole seconds, UTC."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
