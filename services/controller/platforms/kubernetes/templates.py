"""What the chart says of the pods that runs are played in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.controller.platforms.kubernetes.api import Object
from zeroloop.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PodTemplates:
    """Pod templates without what differs from run to run."""

    inference: Object
    trainer: Object


def read_templates(path: Path) -> PodTemplates:
    """Read the file that the chart renders.

    Raises:
        ConfigError: It is missing or has another form.
    """
    try:
        document: Any = yaml.safe_load(path.read_text("utf-8"))
        found = {name: _checked(document[name]) for name in ("inference", "trainer")}
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"pod_templates: {path} cannot be used: {error!r}") from error
    return PodTemplates(**found)


def _checked(template: Mapping[str, Any]) -> Object:
    container = template["spec"]["containers"][0]
    if not container["command"] or not container["image"]:
        raise KeyError("command and image")
    return template
