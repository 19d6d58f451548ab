"""A Job whose pods only work together holds nodes together, or none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.controller.platforms.kubernetes.gang import Gang, judge
from services.controller.platforms.kubernetes.training_objects import QUEUE_LABEL

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=10)
LONG = PATIENCE + timedelta(seconds=1)


def job(**changes: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {}}, "spec": {"suspend": False}, "status": {}} | changes


def condition(kind: str, status: str, ago: timedelta) -> dict[str, Any]:
    at = (NOW - ago).isoformat().replace("+00:00", "Z")
    return {"conditions": [{"type": kind, "status": status, "lastTransitionTime": at}]}


def placed() -> dict[str, Any]:
    return {"spec": {"nodeName": "a"}, "status": condition("PodScheduled", "True", LONG)}


def waiting(ago: timedelta = LONG) -> dict[str, Any]:
    return {"spec": {}, "status": condition("PodScheduled", "False", ago)}


def suspended(ago: timedelta) -> dict[str, Any]:
    return job(spec={"suspend": True}, status=condition("Suspended", "True", ago))


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        ([], Gang.LEAVE),
        ([placed(), placed()], Gang.LEAVE),
        ([waiting(), waiting()], Gang.LEAVE),
        ([placed(), waiting(timedelta(seconds=5))], Gang.LEAVE),
        ([placed(), {"spec": {}}], Gang.LEAVE),
        ([placed(), waiting()], Gang.LET_GO),
        ([placed(), waiting(timedelta(0)), waiting()], Gang.LET_GO),
    ],
)
def test_what_is_placed_in_part_for_long_is_let_go(pods: Any, wanted: Gang) -> None:
    assert judge(job(), pods, NOW, PATIENCE) is wanted


def test_it_rests_and_is_taken_up_again() -> None:
    assert judge(suspended(PATIENCE - timedelta(seconds=1)), [], NOW, PATIENCE) is Gang.REST
    assert judge(suspended(PATIENCE), [], NOW, PATIENCE) is Gang.TAKE_UP
    assert judge(job(spec={"suspend": True}), [], NOW, PATIENCE) is Gang.REST, "not suspended yet"


def test_a_queue_knows_better() -> None:
    queued = {"metadata": {"labels": {QUEUE_LABEL: "gpus"}}}
    assert judge(job(**queued), [placed(), waiting()], NOW, PATIENCE) is Gang.LEAVE
    assert judge(suspended(PATIENCE) | queued, [], NOW, PATIENCE) is Gang.LEAVE
