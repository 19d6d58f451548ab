"""What the images are made from is there, and skaffold builds what the Dockerfile makes."""

import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SKAFFOLD: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
LINES = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()


def instructions(word: str) -> list[list[str]]:
    return [line.split()[1:] for line in LINES if line.startswith(f"{word} ")]


def stages() -> dict[str, str]:
    """Each stage and what it starts from."""
    return {name: parent for parent, _, name in instructions("FROM")}


def artifacts() -> Iterator[dict[str, Any]]:
    """Those that skaffold always builds, and those that profiles add."""
    yield from SKAFFOLD["build"]["artifacts"]
    for profile in SKAFFOLD["profiles"]:
        for patch in profile["patches"]:
            assert (patch["op"], patch["path"]) == ("add", "/build/artifacts/-")
            yield patch["value"]


def copied() -> list[str]:
    """What is copied out of the repository."""
    copies = [words for words in instructions("COPY") if not words[0].startswith("--from=")]
    return sorted({source for *sources, _ in copies for source in sources})


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_tracked_and_not_ignored(source: str) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", source], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert tracked.stdout, f"{source} is not in the repository"
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not [pattern for pattern in ignored if fnmatch(source.split("/")[0], pattern)]


def test_what_comes_from_a_stage_comes_from_an_earlier_one() -> None:
    known: list[str] = ["${BASE}"]
    for line in LINES:
        if found := re.match(r"FROM (\S+) AS (\S+)", line):
            assert found[1] in known, line
            known.append(found[2])
        elif found := re.match(r"COPY --from=(\S+)", line):
            assert found[1] in known, line


@pytest.mark.parametrize("artifact", artifacts(), ids=lambda artifact: artifact["image"])
def test_skaffold_builds_a_stage_of_the_dockerfile(artifact: dict[str, Any]) -> None:
    assert ROOT / artifact["docker"]["dockerfile"] == DOCKERFILE
    assert artifact["docker"]["target"] in stages()
    assert artifact["image"] == f"zeroloop/{artifact['docker']['target']}"


def test_modules_that_images_run_exist() -> None:
    modules = re.findall(r'-m"?,? "?((?:services|trainer)[\w.]*)', DOCKERFILE.read_text())
    assert len(modules) >= 4
    assert [module for module in modules if find_spec(f"{module}.__main__") is None] == []
