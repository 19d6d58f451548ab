"""The objects that a run's engine is made of, and what all objects of a run carry.

Values in, values out. The chart's pod templates say how pods look; what differs from run to
run is added here.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.controller.platforms.kubernetes.api import INFERENCE_SERVICES, Object
from services.controller.platforms.kubernetes.objects import RUN_LABEL

GRPC_PORT: Final = 50051
COMPONENT: Final = "app.kubernetes.io/component"

TRACEPARENT: Final = "zeroloop.dev/traceparent"
TEMPLATE: Final = "zeroloop.dev/template"
"""Annotation of an engine's pods: digest of what they were made from."""

START_S: Final = 1800
"""How long a Deployment may take for one more replica before it counts as stuck. Large models
load for many minutes."""

_ONE_BY_ONE: Final = {
    "type": "RollingUpdate",
    "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
}
"""A new replica starts only when an old one has let go of its GPU."""

_KSERVE_CONTAINER: Final = "kserve-container"
"""By this name KServe knows which container serves."""

_KSERVE_ANNOTATIONS: Final = {
    # A Deployment, whatever the installation's default is.
    "serving.kserve.io/deploymentMode": "Standard",
    # The number of replicas is the run's, so no HorizontalPodAutoscaler.
    "serving.kserve.io/autoscalerClass": "none",
}

_KSERVE_LABELS: Final = {"networking.kserve.io/visibility": "cluster-local"}
"""No way in from outside of the cluster: no Ingress, no HTTPRoute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Belonging:
    """What every object of a run carries."""

    run: str
    owner: Mapping[str, Any]
    labels: Mapping[str, str]
    """Of the release: its name, its instance."""

    traceparent: str = ""

    def metadata(self, name: str, component: str, **labels: str) -> dict[str, Any]:
        """Metadata of an object called `name`."""
        found: dict[str, Any] = {
            "name": name,
            "labels": {**self.labels, **self.select(component), **labels},
            "ownerReferences": [dict(self.owner)],
        }
        if self.traceparent:
            found["annotations"] = {TRACEPARENT: self.traceparent}
        return found

    def select(self, component: str) -> dict[str, str]:
        """Labels by which the pods of one component of this run are found."""
        return {RUN_LABEL: self.run, COMPONENT: component}


def engine_name(run: str) -> str:
    """Of a run's Deployment and of its Service."""
    return f"{run}-inference"


def inference_service_name(run: str) -> str:
    """Of a run's InferenceService.

    As short as it can be: KServe makes a host name of it and of the namespace's, in which
    `NAME-predictor-NAMESPACE` may have 63 characters.
    """
    return run


def engine_service(belonging: Belonging) -> dict[str, Any]:
    """Names every ready replica by its own address."""
    name = engine_name(belonging.run)
    port = {"name": "grpc", "port": GRPC_PORT, "targetPort": GRPC_PORT, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": belonging.metadata(name, "inference"),
        "spec": {
            "clusterIP": "None",
            "selector": belonging.select("inference"),
            "ports": [{**port, "appProtocol": "kubernetes.io/h2c"}],
        },
    }


def engine_deployment(
    belonging: Belonging, template: Object, arguments: Sequence[str], replicas: int
) -> dict[str, Any]:
    """The replicas of a run's engine.

    New weights never change the pods: they are loaded in place.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": belonging.metadata(engine_name(belonging.run), "inference"),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": START_S,
            "strategy": _ONE_BY_ONE,
            "selector": {"matchLabels": belonging.select("inference")},
            "template": _marked(pod_of(belonging, template, "inference", arguments)),
        },
    }


def engine_inference_service(
    belonging: Belonging, template: Object, arguments: Sequence[str], replicas: int
) -> dict[str, Any]:
    """The same replicas as a custom predictor of KServe, which makes the Deployment.

    KServe also makes a Service of its own, `NAME-predictor`; ours is `engine_service`, because
    a replica must have an address of its own.
    """
    pod = pod_of(belonging, template, "inference", arguments)
    pod["spec"]["containers"][0]["name"] = _KSERVE_CONTAINER
    metadata = belonging.metadata(
        inference_service_name(belonging.run), "inference", **_KSERVE_LABELS
    )
    metadata["annotations"] = {**metadata.get("annotations", {}), **_KSERVE_ANNOTATIONS}
    return {
        "apiVersion": INFERENCE_SERVICES.version,
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {
            "predictor": {
                **pod["spec"],
                # Labels and annotations of the pods.
                **_marked(pod)["metadata"],
                "minReplicas": replicas,
                "maxReplicas": replicas,
                "deploymentStrategy": _ONE_BY_ONE,
            }
        },
    }


def pod_of(
    belonging: Belonging, template: Object, component: str, arguments: Sequence[str]
) -> dict[str, Any]:
    """The chart's pod template of a component, with what differs from run to run."""
    pod: dict[str, Any] = copy.deepcopy(dict(template))
    metadata = pod.setdefault("metadata", {})
    labels = metadata.get("labels", {})
    metadata["labels"] = {**labels, **belonging.labels, **belonging.select(component)}
    container = pod["spec"]["containers"][0]
    # Else a pod that fails says nothing but its exit code.
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    container["args"] = [*container.get("args", []), *arguments]
    return pod


def _marked(pod: dict[str, Any]) -> dict[str, Any]:
    """With a digest of itself, by which a pod template from other settings is told apart."""
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:16]
    pod["metadata"].setdefault("annotations", {})[TEMPLATE] = digest
    return pod
