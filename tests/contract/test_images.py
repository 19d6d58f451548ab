"""What the images are made from is there, and skaffold builds what the Dockerfile makes."""

import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import dockerfile, images

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SKAFFOLD: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
BUILDING = [profile for profile in SKAFFOLD["profiles"] if profile["name"] != "round"]
"""Profiles for machines; the other one plays a round on whatever is installed."""

STAGES = dockerfile.parse(DOCKERFILE.read_text())
BASE = "${BASE}"


def artifacts() -> Iterator[dict[str, Any]]:
    """Those that skaffold always builds, and those that profiles add."""
    yield from SKAFFOLD["build"]["artifacts"]
    for profile in BUILDING:
        yield added(profile)["/build/artifacts/-"]


def added(profile: dict[str, Any]) -> dict[str, Any]:
    """What a profile changes, by place."""
    return {patch["path"]: patch["value"] for patch in profile["patches"]}


def copied() -> list[str]:
    """What is copied out of the repository."""
    return sorted({source for stage in STAGES.values() for source in stage.copies})


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_tracked_and_not_ignored(source: str) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", source], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert tracked.stdout, f"{source} is not in the repository"
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not [pattern for pattern in ignored if fnmatch(source.split("/")[0], pattern)]


def test_what_comes_from_a_stage_comes_from_an_earlier_one() -> None:
    known = [BASE]
    for stage in STAGES.values():
        assert {stage.parent, *stage.takes_from} <= set(known), stage.name
        known.append(stage.name)


@pytest.mark.parametrize("name", ["services", "cpu", "checkout", "gpu"])
def test_code_is_in_the_last_layers(name: str) -> None:
    """A change of a source redoes what comes after it, which nothing slow does."""

    def is_code(words: list[str]) -> bool:
        code = words[1] == "--from=wheel" or words[1].startswith(("services/", "trainer"))
        return words[0] == "COPY" and code

    lines = [line.split() for line in STAGES[name].instructions]
    last = [*dropwhile(lambda words: not is_code(words), lines)]
    assert [words for words in last if not is_code(words) and words[0] not in ("USER", "CMD")] == []


def test_the_wheel_is_no_part_of_an_environment() -> None:
    for stage in STAGES.values():
        if stage.name.startswith("install-"):
            assert [source for source in stage.copies if not source.endswith(".lock")] == []


def test_no_image_is_given_an_isolation_of_its_own() -> None:
    """In a cluster, gVisor is the pod's runtime class; programs find no other way out."""
    assert "runsc" not in "".join(line for s in STAGES.values() for line in s.instructions)


@pytest.mark.parametrize("artifact", artifacts(), ids=lambda artifact: artifact["image"])
def test_skaffold_builds_a_stage_of_the_dockerfile(artifact: dict[str, Any]) -> None:
    assert ROOT / artifact["docker"]["dockerfile"] == DOCKERFILE
    assert artifact["docker"]["target"] in STAGES
    assert artifact["image"] == f"zeroloop/{artifact['docker']['target']}"


@pytest.mark.parametrize("profile", BUILDING, ids=lambda profile: profile["name"])
def test_a_profile_installs_what_it_builds(profile: dict[str, Any]) -> None:
    changes = added(profile)
    (release,) = SKAFFOLD["deploy"]["helm"]["releases"]
    values = changes["/deploy/helm/releases/0/setValueTemplates"]

    assert release["setValueTemplates"].items() <= values.items()
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    for file in changes["/deploy/helm/releases/0/valuesFiles"]:
        assert (ROOT / file).is_file()
    name = changes["/build/artifacts/-"]["image"].replace("/", "_")
    for field, template in values.items():
        image = name if field.startswith("image.engine.") else "zeroloop_services"
        assert template.endswith(f"_{image}}}}}"), field


def test_a_profile_plays_the_round_of_the_release() -> None:
    (release,) = SKAFFOLD["deploy"]["helm"]["releases"]
    (profile,) = (profile for profile in SKAFFOLD["profiles"] if profile not in BUILDING)
    (hook,) = added(profile)["/deploy/helm/hooks"]["after"]
    (_, _, command) = hook["host"]["command"]

    assert command.startswith(f"helm test {release['name']} --namespace={release['namespace']} ")


def test_modules_that_images_run_exist() -> None:
    modules = re.findall(r'-m"?,? "?((?:services|trainer)[\w.]*)', DOCKERFILE.read_text())
    assert len(modules) >= 4
    assert [module for module in modules if find_spec(f"{module}.__main__") is None] == []


def test_an_image_is_as_old_as_what_it_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
ARG BASE=somewhere
FROM ${BASE} AS tools
COPY lock ./lock
# said twice
RUN one \\
 && two

FROM ${BASE} AS first
COPY --from=tools /opt /opt
COPY a ./a

FROM ${BASE} AS second
COPY a b ./
"""
    for name in ("lock", "a/file", "a/__pycache__/file.pyc", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    monkeypatch.setattr(images, "ROOT", tmp_path)

    def digests() -> list[str]:
        return [images.Recipe(target, text).digest() for target in ("first", "second")]

    def changed(name: str) -> list[bool]:
        before = digests()
        (tmp_path / name).write_text(f"after {name}")
        return [old != new for old, new in zip(before, digests(), strict=True)]

    assert changed("lock") == [True, False]
    assert changed("a/file") == [True, True]
    assert changed("b") == [False, True]
    assert changed("a/__pycache__/file.pyc") == [False, False]


def test_stages_are_read_as_a_builder_reads_them() -> None:
    stages = dockerfile.parse("# x\nFROM a AS b\nRUN one \\\n# aside\n  two\n\nFROM b AS c\n")

    assert stages == {
        "b": dockerfile.Stage("b", "a", ("FROM a AS b", "RUN one    two")),
        "c": dockerfile.Stage("c", "b", ("FROM b AS c",)),
    }
    assert [stage.name for stage in dockerfile.needed(stages, "b")] == ["b"]
    assert [stage.name for stage in dockerfile.needed(stages, "c")] == ["b", "c"]
