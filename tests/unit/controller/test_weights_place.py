"""Where a run's weights go on Kubernetes, and that they stay there."""

from pathlib import Path

import pytest

from services.controller.platforms.kubernetes.weights_place import note, require, weights_place
from services.controller.store import RunFolder
from zeroloop.errors import FailedPreconditionError

UID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "coder").mkdir()
    return RunFolder(tmp_path / "coder")


def test_without_a_store_they_go_below_the_run(folder: RunFolder) -> None:
    assert weights_place("", folder, UID) == str(folder.weights)


def test_in_a_store_runs_of_one_name_do_not_meet(folder: RunFolder) -> None:
    place = weights_place("s3://bucket/weights/", folder, UID)

    assert place == "s3://bucket/weights/coder-0a1b2c3d"
    assert place != weights_place("s3://bucket/weights", folder, "ffffffff-4e5f")


def test_a_run_stays_where_it_began(folder: RunFolder) -> None:
    note(folder, "s3://bucket/coder-0a1b2c3d")

    require(folder, "s3://bucket/coder-0a1b2c3d")
    with pytest.raises(FailedPreconditionError, match=r"s3://bucket.*set weights\.store back"):
        require(folder, str(folder.weights))


def test_a_run_from_before_there_were_stores_stays_on_the_volume(folder: RunFolder) -> None:
    require(folder, str(folder.weights))
    with pytest.raises(FailedPreconditionError, match="start a new run"):
        require(folder, "s3://bucket/coder-0a1b2c3d")
