"""The InferenceService that the controller makes, held against KServe's own typed models."""

from collections.abc import Iterator
from typing import Any

import kserve
import kubernetes.client

from services.controller.platforms.kubernetes.backends import BACKENDS
from services.controller.platforms.kubernetes.workloads import Belonging

ENGINE = {
    "metadata": {"labels": {"app.kubernetes.io/name": "zeroloop"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 70,
        "containers": [
            {
                "name": "inference",
                "image": "zeroloop/gpu:1",
                "command": ["python"],
                "ports": [{"name": "grpc", "containerPort": 50051}],
                "readinessProbe": {"grpc": {"port": 50051}},
            }
        ],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    },
}


def test_every_field_of_an_inference_service_is_known() -> None:
    owner = {"apiVersion": "zeroloop.dev/v1alpha1", "kind": "SelfPlayRun", "name": "r", "uid": "u"}
    run = Belonging(run="r", owner=owner, labels={"release": "z"}, traceparent="tp")
    made = BACKENDS["kserve"].object(run, ENGINE, ["--model", "m"], 3)
    assert made["apiVersion"] == kserve.constants.KSERVE_V1BETA1
    assert list(unknown(made, "V1beta1InferenceService")) == []


def test_an_unknown_field_would_be_found() -> None:
    misspelt = {"spec": {"predictor": {"minReplica": 1, "containers": [{"nam": "x"}]}}}
    assert list(unknown(misspelt, "V1beta1InferenceService")) == [
        "V1beta1PredictorSpec.minReplica",
        "V1Container.nam",
    ]


def unknown(value: Any, name: str) -> Iterator[str]:
    """Fields that KServe's typed models, and those of Kubernetes below them, do not have.

    KServe's own client cannot read Kubernetes' part of an InferenceService (seen in 0.21).
    """
    if name.startswith(("list[", "dict(")):
        inner = name.removeprefix("list[").removeprefix("dict(str, ")[:-1]
        for part in value.values() if isinstance(value, dict) else value:
            yield from unknown(part, inner)
        return
    known = getattr(kserve, name, None) or getattr(kubernetes.client, name, None)
    if known is None or not isinstance(value, dict):
        return
    attributes = {field: attribute for attribute, field in known.attribute_map.items()}
    for field, part in value.items():
        if field in attributes:
            yield from unknown(part, known.openapi_types[attributes[field]])
        else:
            yield f"{name}.{field}"
