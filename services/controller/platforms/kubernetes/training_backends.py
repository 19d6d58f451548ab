"""Who starts a run's trainers: Jobs of ours, JobSets, or Kubeflow's TrainJobs.

Pods, image and exit codes are the same, and so is what an attempt's state is read from: its
object's labels and conditions. Only their names differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from services.controller.decide import Trainer
from services.controller.platforms.kubernetes import training_objects as objects
from services.controller.platforms.kubernetes.api import (
    JOB_SETS,
    JOBS,
    SERVICES,
    TRAIN_JOBS,
    TRAINING_RUNTIMES,
    Kind,
    Object,
    condition_of,
)
from services.controller.platforms.kubernetes.training_objects import (
    ATTEMPT,
    LAST_ROUND,
    REFUSED,
    Order,
)

_JOB_SET = "jobset.sigs.k8s.io/jobset-name"
"""Label of a pod: of which JobSet."""

_FAIL_JOB_SET = "FailJobSetFailurePolicyAction"
"""Reason of a JobSet that failed by a rule, and of the TrainJob that it belongs to."""

_INSTEAD = "set the chart's value training.backend to job"


class TrainingBackend(Protocol):
    """One way to ask for trainers."""

    @property
    def kind(self) -> Kind:
        """Of an attempt's object. Its pods come and go with its field `suspend`."""
        ...

    @property
    def missing(self) -> str:
        """What to say where the cluster does not know that kind."""
        ...

    @property
    def complete(self) -> str:
        """The condition of an attempt that has done its part."""
        ...

    @property
    def refused(self) -> str:
        """The reason of an attempt that failed because starting again cannot help."""
        ...

    @property
    def suspends_first(self) -> bool:
        """Whether an object must be suspended before it is deleted."""
        ...

    def beside(self, order: Order) -> Iterable[tuple[Kind, Object]]:
        """What the attempts of a run need beside them, to be applied."""
        ...

    def object(self, order: Order) -> dict[str, Any]:
        """An attempt, to be created."""
        ...

    def waits(self, item: Object) -> bool:
        """Whether some pods of an attempt that runs are not ready."""
        ...

    def pods(self, name: str) -> Mapping[str, str]:
        """Labels of an attempt's pods."""
        ...


class Jobs:
    """An Indexed Job that the controller makes."""

    kind: Kind = JOBS
    missing: str = "the cluster has no Jobs (batch/v1)"
    complete: str = "Complete"
    refused: str = REFUSED
    suspends_first: bool = False

    def beside(self, order: Order) -> Iterable[tuple[Kind, Object]]:
        """See `TrainingBackend.beside`."""
        return [(SERVICES, objects.trainer_service(order.belonging))]

    def object(self, order: Order) -> dict[str, Any]:
        """See `TrainingBackend.object`."""
        return objects.training_job(order)

    def waits(self, item: Object) -> bool:
        """See `TrainingBackend.waits`."""
        return (item.get("status") or {}).get("ready", 0) < item["spec"]["parallelism"]

    def pods(self, name: str) -> Mapping[str, str]:
        """See `TrainingBackend.pods`."""
        return {"job-name": name}


class JobSets:
    """A JobSet, from which its controller makes the Job."""

    kind: Kind = JOB_SETS
    missing: str = (
        f"JobSet is not installed: the cluster has no JobSet ({JOB_SETS.version}); install it, or "
        f"{_INSTEAD}"
    )
    complete: str = "Completed"
    refused: str = _FAIL_JOB_SET
    suspends_first: bool = False

    def beside(self, order: Order) -> Iterable[tuple[Kind, Object]]:
        """See `TrainingBackend.beside`."""
        return []

    def object(self, order: Order) -> dict[str, Any]:
        """See `TrainingBackend.object`."""
        return objects.job_set(order)

    def waits(self, item: Object) -> bool:
        """See `TrainingBackend.waits`."""
        return _none_ready(item, "replicatedJobsStatus")

    def pods(self, name: str) -> Mapping[str, str]:
        """See `TrainingBackend.pods`."""
        return {_JOB_SET: name}


class TrainJobs:
    """A TrainJob, from which Kubeflow Trainer makes the JobSet of the same name.

    Deleted with its pods, it would get a new JobSet in the moment between the JobSet's end and its
    own (seen in Trainer 2.3's source), so it is suspended first: such a JobSet has no pods.
    """

    kind: Kind = TRAIN_JOBS
    missing: str = (
        f"Kubeflow Trainer is not installed: the cluster has no TrainJob ({TRAIN_JOBS.version}); "
        f"install it and JobSet, or {_INSTEAD}"
    )
    complete: str = "Complete"
    refused: str = _FAIL_JOB_SET
    suspends_first: bool = True

    def beside(self, order: Order) -> Iterable[tuple[Kind, Object]]:
        """See `TrainingBackend.beside`."""
        return [(TRAINING_RUNTIMES, objects.training_runtime(order))]

    def object(self, order: Order) -> dict[str, Any]:
        """See `TrainingBackend.object`."""
        return objects.train_job(order)

    def waits(self, item: Object) -> bool:
        """See `TrainingBackend.waits`."""
        return _none_ready(item, "jobsStatus")

    def pods(self, name: str) -> Mapping[str, str]:
        """See `TrainingBackend.pods`."""
        return {_JOB_SET: name}


TRAINING_BACKENDS: Final[Mapping[str, TrainingBackend]] = {
    "job": Jobs(),
    "jobset": JobSets(),
    "trainjob": TrainJobs(),
}
"""By the name that a setting has for them."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to train."""

    backend: TrainingBackend
    name: str
    number: int
    last_round: int
    """With which it ends; 0: it does not."""

    state: Trainer
    """ABSENT: it is complete."""

    ended_at: datetime | None
    message: str
    leaving: bool
    """It is being deleted."""

    waits: bool
    """Some of its pods are not ready."""

    item: Object


def attempts_of(backend: TrainingBackend, items: Sequence[Object]) -> list[Attempt]:
    """The attempts that a backend's objects stand for, oldest first."""
    found = (_attempt(backend, item) for item in items)
    return sorted(found, key=lambda attempt: attempt.number)


def _attempt(backend: TrainingBackend, item: Object) -> Attempt:
    metadata = item["metadata"]
    state, ended_at, message = Trainer.RUNNING, None, ""
    for kind in (backend.complete, "Failed"):
        condition = condition_of(item, kind)
        if condition.get("status") != "True":
            continue
        ended_at = datetime.fromisoformat(condition["lastTransitionTime"])
        message = condition.get("message", "")
        if kind == backend.complete:
            state = Trainer.ABSENT
        else:
            refused = condition.get("reason") == backend.refused
            state = Trainer.REFUSED if refused else Trainer.FAILED
    return Attempt(
        backend,
        metadata["name"],
        int(metadata["labels"][ATTEMPT]),
        int(metadata["labels"].get(LAST_ROUND, 0)),
        state,
        ended_at,
        message,
        "deletionTimestamp" in metadata,
        backend.waits(item),
        item,
    )


def _none_ready(item: Object, field: str) -> bool:
    """Whether none of an object's Jobs has all of its pods ready."""
    jobs = (item.get("status") or {}).get(field) or ()
    return not any(job.get("ready", 0) for job in jobs)
