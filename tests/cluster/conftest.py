"""One cluster for all tests of a session."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import image, start, stop
from tests.cluster.cluster import Cluster
from tests.cluster.folder import Folder
from tests.cluster.programs import build, catalog

PYTHON_IMAGE = "localhost/python:1"


def cache() -> Path:
    """Where built programs are kept."""
    return Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")


def new_folder() -> Path:
    """Make a folder beside the programs: a short path, on a disk that takes overlays."""
    parent = cache() / "cluster"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="test-", dir=parent))


@contextmanager
def started(request: pytest.FixtureRequest, path: Path) -> Generator[Cluster]:
    """A running cluster, ended with this process whatever ends it; logs stay if a test failed."""
    if missing := build.missing(catalog.CLUSTER, cache()):
        # It would take longer than any test may.
        pytest.fail(f"not built: {', '.join(missing)}; run `python -m tests.cluster build`")
    folder = Folder(path)
    running = start.start(folder, cache(), with_parent=True)
    try:
        yield running
    finally:
        failed = request.session.testsfailed > 0
        stop.stop(folder, keep_logs=failed)
        if failed:
            print(f"\nlogs of the cluster: {folder.logs}")


@pytest.fixture(scope="session")
def cluster_folder() -> Path:
    """A new folder for the cluster of the session."""
    return new_folder()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, cluster_folder: Path) -> Generator[Cluster]:
    """The cluster of the session."""
    with started(request, cluster_folder) as running:
        yield running


@pytest.fixture(scope="session")
def python_image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with this interpreter and its standard library, known to the node."""
    scratch = tmp_path_factory.mktemp("python-image")
    image.make_python_root(scratch / "root")
    image.pack(scratch / "root", PYTHON_IMAGE, scratch / "image.tar", ["/usr/bin/python3"])
    cluster.import_image(scratch / "image.tar")
    shutil.rmtree(scratch)
    return PYTHON_IMAGE
