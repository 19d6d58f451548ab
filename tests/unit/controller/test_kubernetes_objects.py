"""Runs as objects and back; the objects that a run is played in."""

from datetime import UTC, datetime
from typing import Any

from services.controller.platforms.kubernetes.api import RUNS
from services.controller.platforms.kubernetes.engines import unscheduled
from services.controller.platforms.kubernetes.objects import (
    event_to,
    object_of,
    owner,
    spec_changes,
    spec_of,
    status_to,
    stored_of,
)
from services.controller.platforms.kubernetes.workloads import Belonging, engine_deployment
from services.controller.store import StoredRun
from tests.unit.controller.fake_api import FakeApi
from zeroloop.core.runs import (
    Condition,
    ConditionType,
    EventType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
SPEC = RunSpec(
    model="/models/seedling",
    preset="seedling",
    rounds=3,
    seed=7,
    settings={"learning_rate": 2e-4, "pipeline": {"overlap": False}, "buffer_full": "reservoir"},
)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "zeroloop"}},
    "spec": {
        "containers": [
            {"name": "main", "image": "i:1", "command": ["python"], "env": [{"name": "A"}]}
        ]
    },
}


def created(spec: RunSpec = SPEC) -> dict[str, Any]:
    run = Run(name="r", spec=spec, status=RunStatus(), created_at=NOW)
    made = object_of(StoredRun(run, "req", "00-ab-cd-01"))
    return dict(FakeApi().put(RUNS, made, "ADDED"))


def belonging() -> Belonging:
    return Belonging(run="r", owner=owner(created()), labels={"release": "z"}, traceparent="tp")


def test_a_run_comes_back_as_it_went() -> None:
    stored = stored_of(created())
    assert stored.request_id == "req"
    assert stored.traceparent == "00-ab-cd-01"
    flat = {"learning_rate": 2e-4, "pipeline.overlap": False, "buffer_full": "reservoir"}
    assert stored.run.spec == RunSpec(
        model=SPEC.model, preset=SPEC.preset, rounds=3, seed=7, settings=flat
    )
    assert stored.run.effective_settings["learning_rate"] == 2e-4
    assert stored.run.status.phase is Phase.PENDING


def test_a_person_s_object_needs_only_a_model_and_has_typed_fields() -> None:
    item = {
        **created(),
        "spec": {
            "model": {"uri": "hf://a/b"},
            "inference": {"replicas": 4},
            "training": {"nodes": 2, "ranksPerNode": 8, "roundsPerJob": 1, "queue": "research"},
        },
    }
    assert spec_of(item).settings == {
        "inference.replicas": 4,
        "training.nodes": 2,
        "training.ranks": 8,
        "training.rounds_per_job": 1,
        "training.queue": "research",
    }
    stored = stored_of(item)
    assert stored.run.spec.rounds == stored.run.effective_settings["total_steps"]
    assert spec_changes(item, stored.run.spec) == {}


def test_a_wrong_setting_does_not_hide_the_run() -> None:
    item = {**created(), "spec": {"model": {"uri": "m"}, "settings": {"nonsense": "1"}}}
    assert stored_of(item).run.effective_settings == {}


def test_only_what_may_change_is_changed() -> None:
    item = created()
    spec = stored_of(item).run.spec
    from dataclasses import replace

    wanted = replace(spec, rounds=5, suspend=True)
    assert spec_changes(item, wanted) == {"spec": {"rounds": 5, "suspend": True}}


def test_a_status_comes_back_as_it_went() -> None:
    condition = Condition(
        type=ConditionType.WEIGHTS_SYNCED,
        status=True,
        reason="Rolled",
        changed_at=NOW.replace(microsecond=0),
        message="v2 on 2 of 2",
    )
    status = RunStatus(
        phase=Phase.PLAYING,
        conditions=(condition,),
        round=2,
        stage="solve",
        weights_version=2,
        tasks=40,
        solver_accuracy=0.25,
        started_at=NOW.replace(microsecond=0),
    )
    run = Run(name="r", spec=SPEC, status=status, created_at=NOW)
    written = status_to(run, 4)
    assert written["progress"] == "2/3"
    assert written["conditions"][0]["observedGeneration"] == 4
    kept = {name: value for name, value in written.items() if value is not None}
    assert stored_of({**created(), "status": kept}).run.status == status


def test_an_event_names_the_run_and_is_not_too_long() -> None:
    event = RunEvent(at=NOW, type=EventType.WARNING, message="x" * 5000)
    body = event_to(created(), event, name="r.1")
    assert body["type"] == "Warning"
    assert body["involvedObject"]["uid"] == "uid-r"
    assert len(body["message"]) == 1024


def test_an_engine_never_needs_a_second_place_and_belongs_to_its_run() -> None:
    made = engine_deployment(belonging(), TEMPLATE, ["--model", "m"], 3)
    assert made["spec"]["replicas"] == 3
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-r"
    pod = made["spec"]["template"]
    assert made["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["app"] == "zeroloop"
    assert pod["spec"]["containers"][0]["args"] == ["--model", "m"]
    assert "args" not in TEMPLATE["spec"]["containers"][0], "the template is not touched"


def test_what_the_scheduler_says_is_told() -> None:
    waiting = {"type": "PodScheduled", "status": "False", "message": "0/4 nodes are available"}
    pods = [{"metadata": {"name": "p"}, "status": {"conditions": [waiting]}}]
    assert unscheduled(pods) == "p: 0/4 nodes are available"
    assert unscheduled([{"metadata": {"name": "p"}, "status": {}}]) == ""
