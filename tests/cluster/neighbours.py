"""An installation that is to use another project's controller, before and after that is there."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, Installation
from tests.cluster.managers import Manager
from tests.cluster.programs import build
from tests.cluster.programs.catalog import Program

Running = Callable[[Cluster, Path], AbstractContextManager[Manager]]
"""Installs a project and runs its controller, for instance `kserve.running`."""


def require(*programs: Program) -> None:
    """Fail the test unless these are built: it would take longer than any test may."""
    if missing := build.missing(programs, cache()):
        pytest.fail(f"not built: run `python -m tests.cluster build {' '.join(missing)}`")


@contextmanager
def without(
    cluster: Cluster, folder: Path, project: str, values: dict[str, Any]
) -> Generator[Installation]:
    """Install the chart with values that need a project; its notes must name it."""
    made = installation.prepare(cluster, cache(), folder)
    assert project in made.put(**values)
    yield made
    made.helm("uninstall", RELEASE, "--wait")


@contextmanager
def arrived(installed: Installation, project: str, running: Running) -> Generator[Manager]:
    """Have the project run while the block lasts; what belongs to runs goes before it does."""
    began_s = time.monotonic()
    with running(installed.cluster, cache()) as manager:
        print(f"{project} is up after {time.monotonic() - began_s:.0f} s")
        try:
            yield manager
        finally:
            installed.kubectl("delete", "selfplayruns", "--all", "--timeout=60s")
        print(f"{project}'s controller takes {manager.memory_mib:.0f} MiB")
