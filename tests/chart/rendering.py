"""What `helm template` makes of the chart, with the helm that the cluster's tests use."""

import functools
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.programs import build, catalog

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "zeroloop"
EXAMPLES = sorted((ROOT / "deploy" / "values").glob("*.yaml"))

RELEASE = "loop"
NAME = "loop-zeroloop"
NAMESPACE = "lab"

HELM_S = 30

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that the release makes, itself, by another object or by the controller."""

    where: str
    """The object that makes it, for messages."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@dataclass(frozen=True, slots=True)
class Release:
    """All objects of a release."""

    objects: tuple[Object, ...]
    every_pod: tuple[Pod, ...]

    def of(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """An object by its name without the release's."""
        (found,) = [
            item for item in self.of(kind) if item["metadata"]["name"] in (name, f"{NAME}-{name}")
        ]
        return found

    def names(self, kind: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.of(kind)}

    def pods(self) -> list[Pod]:
        return list(self.every_pod)

    def pod(self, component: str) -> Pod:
        (found,) = [pod for pod in self.pods() if pod.component == component]
        return found

    def components(self) -> set[str]:
        return {pod.component for pod in self.pods()}


def _pods_of(item: Object) -> Iterator[Pod]:
    where = f"{item['kind']}/{item['metadata']['name']}"
    if item["kind"] == "Pod":
        yield _pod(where, item)
    elif item["kind"] in ("Deployment", "StatefulSet", "Job"):
        yield _pod(where, item["spec"]["template"])
    elif item["kind"] == "ConfigMap" and "pods.yaml" in item["data"]:
        for name, template in yaml.load(item["data"]["pods.yaml"], yaml.CSafeLoader).items():
            yield _pod(f"{where} {name}", template)


def _pod(where: str, template: Object) -> Pod:
    metadata = template["metadata"]
    return Pod(where, metadata["labels"], metadata.get("annotations") or {}, template["spec"])


def helm_program() -> Path:
    """Where helm is.

    Raises:
        LookupError: It is not built; says which command does that.
    """
    cache = Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    (program,) = [program for program in catalog.CLUSTER if program.name == "helm"]
    if build.missing([program], cache):
        raise LookupError("helm is not built; run `python -m tests.cluster build helm`")
    return build.place(program, cache, build.find_go(cache, build.go_minimum([program])))


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm, which no test lets near a cluster."""
    return subprocess.run(
        [str(_program()), *arguments],
        env={**os.environ, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=HELM_S,
    )


@functools.cache
def _program() -> Path:
    return helm_program()


@functools.cache
def render(*arguments: str) -> Release:
    """Render the chart with values as helm's flags: `--set=a=b`, `--values=FILE`.

    Raises:
        AssertionError: Helm refuses; carries what it says.
    """
    done = template(arguments)
    assert done.returncode == 0, done.stderr
    return read(done.stdout)


def read(manifest: str) -> Release:
    """The release that a manifest of helm's describes."""
    objects = [item for item in yaml.load_all(manifest, yaml.CSafeLoader) if item]
    return Release(tuple(objects), tuple(pod for item in objects for pod in _pods_of(item)))


def refusal(*arguments: str) -> str:
    """What helm says when it refuses values.

    Raises:
        AssertionError: It takes them.
    """
    done = template(arguments)
    assert done.returncode != 0, f"helm takes {arguments}"
    return done.stderr


def template(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `helm template` on the chart."""
    return helm("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *arguments)
