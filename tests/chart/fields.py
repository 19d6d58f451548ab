"""Whether objects have only fields that Kubernetes knows, by the official client's models.

An API server that applies an object ignores or refuses other fields; here each is named.
"""

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

_MODELS = {
    "v1": "V1",
    "apps/v1": "V1",
    "batch/v1": "V1",
    "policy/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
    "scheduling.k8s.io/v1": "V1",
    "node.k8s.io/v1": "V1",
    "autoscaling/v2": "V2",
    "apiextensions.k8s.io/v1": "V1",
}
_CONTAINERS = re.compile(r"(List|Dict)\[(?:str, )?(.+)\]$")
_SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float)}
_QUANTITIES = ("requests", "limits", "sizeLimit")
"""Text to Kubernetes, but numbers will do."""


def problems_of(item: dict[str, Any]) -> list[str]:
    """Every field of an object that is unknown, null or of another type."""
    name = _MODELS[item["apiVersion"]] + item["kind"]
    return list(problems(item, name, f"{item['kind']}/{item['metadata']['name']}"))


def problems(value: Any, kind: str, path: str) -> Iterator[str]:
    """The same for a value of the type that the client's models call `kind`."""
    if value is None:
        yield f"{path} is null"
    elif parts := _CONTAINERS.match(kind):
        yield from _problems_within(value, parts[1], parts[2], path)
    elif kind in _SCALARS:
        if not isinstance(value, _SCALARS[kind]) and not any(q in path for q in _QUANTITIES):
            yield f"{path} is {value!r}, no {kind}"
    elif model := getattr(models, kind, None):
        yield from _problems_of_model(value, model, path)


def _problems_within(value: Any, shape: str, kind: str, path: str) -> Iterator[str]:
    if not isinstance(value, list if shape == "List" else dict):
        yield f"{path} is {value!r}, no {shape}"
        return
    entries = enumerate(value) if shape == "List" else value.items()
    for key, entry in entries:
        yield from problems(entry, kind, f"{path}.{key}")


def _problems_of_model(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, no {model.__name__}"
        return
    types = {json: model.openapi_types[name] for name, json in model.attribute_map.items()}
    for key, entry in value.items():
        if key not in types:
            yield f"{path}.{key} is unknown"
        else:
            yield from problems(entry, types[key], f"{path}.{key}")
