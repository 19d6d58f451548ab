"""The objects of one attempt to train: a Job, a JobSet, or a TrainJob with its runtime.

Values in, values out. All three end as the same Job of pods from the chart's template, which
start and fail together: any pod that fails ends the attempt, because the others cannot go on
without it, and the next attempt goes on from the checkpoint. A pod that the cluster takes away
does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.controller.platforms.kubernetes.api import (
    JOB_SETS,
    TRAIN_JOBS,
    TRAINING_RUNTIMES,
    Object,
)
from services.controller.platforms.kubernetes.workloads import Belonging, pod_of

MASTER_PORT: Final = 29500
"""Where rank 0 of a training Job waits for the others."""

ATTEMPT: Final = "zeroloop.dev/attempt"
"""Label of an attempt: counts those of a run."""

LAST_ROUND: Final = "zeroloop.dev/last-round"
"""Label of an attempt: it is complete when this round is trained; 0: it never is."""

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"

EXIT_CONFIG: Final = 64
"""The trainer's word for: starting again cannot help."""

REFUSED: Final = "PodFailurePolicy"
"""Reason of a Job that failed because a pod ended with that code."""

JOB_TTL_S: Final = 3600
"""How long an attempt that has ended stays, so that a person can read its pods' logs."""

NODE: Final = "node"
"""Of the one replicated Job in a JobSet: short, because pods are named after it. Kubeflow wants
this name, also for the container."""

_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_ANCESTOR = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
"""By this label Kubeflow knows which Job of a runtime trains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One attempt to train as it is asked for."""

    belonging: Belonging
    template: Object
    """The chart's, of a trainer's pod."""

    arguments: Sequence[str]
    """Of the trainer."""

    attempt: int
    nodes: int
    last_round: int = 0
    queue: str = ""
    """Kueue's LocalQueue that lets it start; empty: none."""

    @property
    def name(self) -> str:
        """Of the object."""
        return f"{trainer_name(self.belonging.run)}-{self.attempt}"

    def metadata(self) -> dict[str, Any]:
        """Of the object: in a queue if there is one."""
        counted = {ATTEMPT: str(self.attempt), LAST_ROUND: str(self.last_round)}
        queued = {QUEUE_LABEL: self.queue} if self.queue else {}
        return self.belonging.metadata(self.name, "trainer", **counted, **queued)

    def pod(self) -> dict[str, Any]:
        """The pods' template, without what tells them of each other."""
        pod = pod_of(self.belonging, self.template, "trainer", self.arguments)
        pod["spec"]["restartPolicy"] = "Never"
        return pod

    def traced(self) -> list[dict[str, Any]]:
        """The variable by which the trainer joins the run's trace."""
        traceparent = self.belonging.traceparent
        return [{"name": "TRACEPARENT", "value": traceparent}] if traceparent else []


def trainer_name(run: str) -> str:
    """Of a run's headless Service or runtime, and the beginning of its attempts' names."""
    return f"{run}-train"


def trainer_service(belonging: Belonging) -> dict[str, Any]:
    """Gives the pods of a Job names; they need each other before any of them is ready."""
    port = {"name": "rendezvous", "port": MASTER_PORT, "targetPort": MASTER_PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": belonging.metadata(trainer_name(belonging.run), "trainer"),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": belonging.select("trainer"),
            "ports": [{**port, "protocol": "TCP"}],
        },
    }


def training_job(order: Order) -> dict[str, Any]:
    """An attempt as a Job; `trainer_service` names its pods."""
    domain = trainer_name(order.belonging.run)
    pod = _joined(order, f"{order.name}-0.{domain}")
    pod["spec"]["subdomain"] = domain
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": order.metadata(),
        "spec": {
            "suspend": bool(order.queue),
            "ttlSecondsAfterFinished": JOB_TTL_S,
            **_job_spec(pod, order.nodes),
        },
    }


def job_set(order: Order) -> dict[str, Any]:
    """An attempt as a JobSet of one Job, which also makes the Service that names its pods."""
    pod = _joined(order, f"{order.name}-{NODE}-0-0.{order.name}")
    return {
        "apiVersion": JOB_SETS.version,
        "kind": "JobSet",
        "metadata": order.metadata(),
        "spec": {
            "suspend": bool(order.queue),
            "ttlSecondsAfterFinished": JOB_TTL_S,
            **_job_set_spec({"spec": _job_spec(pod, order.nodes)}),
        },
    }


def train_job(order: Order) -> dict[str, Any]:
    """An attempt as Kubeflow's TrainJob: all but what `training_runtime` says for every attempt."""
    (container, *_) = order.pod()["spec"]["containers"]
    return {
        "apiVersion": TRAIN_JOBS.version,
        "kind": "TrainJob",
        "metadata": order.metadata(),
        "spec": {
            "suspend": bool(order.queue),
            "runtimeRef": {
                "apiGroup": TRAINING_RUNTIMES.version.partition("/")[0],
                "kind": "TrainingRuntime",
                "name": trainer_name(order.belonging.run),
            },
            "trainer": {
                "numNodes": order.nodes,
                "args": container["args"],
                "env": order.traced(),
            },
        },
    }


def training_runtime(order: Order) -> dict[str, Any]:
    """What a run's TrainJobs are made from.

    Of type torch, so Kubeflow tells the pods of each other, in torchrun's variables. The rest of
    the pods is here, because most of it cannot be said in a TrainJob. There is no time after which
    it goes: Kubeflow would make a JobSet that is gone anew if its TrainJob had failed.
    """
    pod = order.pod()
    (container, *_) = pod["spec"]["containers"]
    container["name"] = NODE
    del container["args"]
    job = {"metadata": {"labels": _ANCESTOR}, "spec": _job_spec(pod, order.nodes)}
    return {
        "apiVersion": TRAINING_RUNTIMES.version,
        "kind": "TrainingRuntime",
        "metadata": order.belonging.metadata(trainer_name(order.belonging.run), "trainer"),
        "spec": {
            "mlPolicy": {"numNodes": order.nodes, "torch": {}},
            "template": {"spec": _job_set_spec(job)},
        },
    }


def _joined(order: Order, master: str) -> dict[str, Any]:
    """The pods' template, with torchrun's variables for pods that know each other by an index."""
    pod = order.pod()
    container = pod["spec"]["containers"][0]
    container["env"] = [
        *container.get("env", []),
        {"name": "PET_NNODES", "value": str(order.nodes)},
        {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
        {"name": "PET_MASTER_ADDR", "value": master},
        {"name": "PET_MASTER_PORT", "value": str(MASTER_PORT)},
        *order.traced(),
    ]
    return pod


def _job_spec(pod: dict[str, Any], nodes: int) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]["name"]
    codes = {"containerName": container, "operator": "In", "values": [EXIT_CONFIG]}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": codes},
                {"action": "Ignore", "onPodConditions": disrupted},
            ]
        },
        "template": pod,
    }


def _job_set_spec(job: dict[str, Any]) -> dict[str, Any]:
    """Of a JobSet that ends with its one Job; whether there is another attempt is not its to say.

    What JobSet's webhooks would fill in is said, so that it does not depend on them.
    """
    refused = {"name": "refused", "action": "FailJobSet", "onJobFailureReasons": [REFUSED]}
    return {
        "replicatedJobs": [{"name": NODE, "replicas": 1, "template": job}],
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "startupPolicy": {"startupPolicyOrder": "AnyOrder"},
        "successPolicy": {"operator": "All"},
        "failurePolicy": {"maxRestarts": 0, "rules": [refused]},
    }
