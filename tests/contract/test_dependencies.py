"""The bounds in pyproject.toml and the committed locks agree, and stay installable."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
REQUIRED = (
    *("kubernetes", "grpcio", "protobuf", "torch", "vllm", "transformers"),
    *("deepspeed", "kserve", "opentelemetry-sdk"),
)


def locked(lock: Path) -> dict[str, Version]:
    pins = re.findall(r"^([\w.\-]+)(?:\[[\w,\-]+\])?==(\S+)", lock.read_text(), re.MULTILINE)
    return {name.lower(): Version(version) for name, version in pins}


def requirements() -> list[Requirement]:
    texts = [*PROJECT["project"]["dependencies"]]
    for group in PROJECT["project"]["optional-dependencies"].values():
        texts += group
    for group in PROJECT["dependency-groups"].values():
        texts += group
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_every_requirement_is_bounded_on_both_sides(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier}

    assert operators & {">=", "=="}, f"{requirement} has no lower bound"
    assert operators & {"<", "=="}, f"{requirement} has no upper bound"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locked_versions_lie_within_the_bounds(lock: Path) -> None:
    pins = locked(lock)
    outside = [
        f"{requirement}: {pins[requirement.name]}"
        for requirement in requirements()
        if requirement.name in pins and pins[requirement.name] not in requirement.specifier
    ]

    assert not outside, f"run `make lock`: {outside}"


def test_the_packages_the_platform_is_made_of_are_locked() -> None:
    everywhere = {name for lock in LOCKS for name in locked(lock)}

    assert set(REQUIRED) <= everywhere


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_carry_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()

    assert text.count("--hash=sha256:") >= len(locked(lock))
    assert "://" not in text


def test_the_wheel_needs_three_packages() -> None:
    names = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}

    assert names == {"grpcio", "protobuf", "googleapis-common-protos"}


def test_the_environment_is_the_lock() -> None:
    """What is installed here is what `make setup` would install."""
    wanted = locked(ROOT / "requirements" / "cpu.lock")
    listing = subprocess.run(
        [ROOT / "tools" / "uv", "pip", "list", "--format=freeze", "--python", ROOT / ".venv"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = dict(line.lower().split("==") for line in listing.splitlines() if "==" in line)
    differing = {
        name: (str(version), here.get(name))
        for name, version in wanted.items()
        if name in here and Version(here[name]) != version
    }

    assert not differing
    assert set(wanted) <= set(here)
