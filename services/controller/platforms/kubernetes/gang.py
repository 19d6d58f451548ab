"""Pods of a Job that only work together hold GPUs together, or none.

Kubernetes places pods one by one. Without a queue (Kueue) a Job of four could hold three nodes for
ever and keep a smaller one from running, and two such Jobs could wait for each other. So a Job that
is placed in part for too long is suspended, which takes its pods away, and taken up again later.
Values in, values out; the times are in the objects, so nothing has to be remembered.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from services.controller.platforms.kubernetes.api import Object, condition_of
from services.controller.platforms.kubernetes.training_objects import QUEUE_LABEL


class Gang(StrEnum):
    """What to do with a Job's pods."""

    LEAVE = "leave"
    LET_GO = "let_go"
    """Some hold nodes in vain: suspend the Job."""

    REST = "rest"
    """It has let go not long ago."""

    TAKE_UP = "take_up"
    """It has rested."""


def judge(job: Object, pods: Sequence[Object], now: datetime, patience: timedelta) -> Gang:
    """Look at a Job that has not ended. One with a queue is left to the queue.

    Args:
        job: The Job; or the JobSet or TrainJob, which say the same in the same fields.
        pods: All of its pods.
        now: The time.
        patience: How long some pods may hold nodes while others find none; as long the Job leaves
            them to others then.
    """
    if QUEUE_LABEL in job["metadata"].get("labels", {}):
        return Gang.LEAVE
    if job["spec"].get("suspend"):
        since = _since(job, "Suspended", "True")
        rested = since is not None and now - since >= patience
        return Gang.TAKE_UP if rested else Gang.REST
    holding = [pod for pod in pods if pod["spec"].get("nodeName")]
    waits = [_since(pod, "PodScheduled", "False") for pod in pods]
    split = [since for since in waits if since is not None]
    if holding and split and now - min(split) >= patience:
        return Gang.LET_GO
    return Gang.LEAVE


def _since(item: Object, kind: str, value: str) -> datetime | None:
    """When a condition of an object became what it is; None if that is something else."""
    found = condition_of(item, kind)
    if found.get("status") != value:
        return None
    return datetime.fromisoformat(found["lastTransitionTime"])
