"""The file that names the version that is served."""

from pathlib import Path

import pytest

from zeroloop.errors import CorruptDataError, UnavailableError
from zeroloop.weights_pointer import ServedWeights, point_at, pointed_at

SERVED = ServedWeights(3, "/runs/r/weights/3", "a" * 64)


def test_it_comes_back_and_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "SERVED.json"
    assert pointed_at(path) is None
    point_at(path, ServedWeights(2, "/runs/r/weights/2", "b" * 64))
    point_at(path, SERVED)
    assert pointed_at(path) == SERVED
    assert [entry.name for entry in tmp_path.iterdir()] == ["SERVED.json"]


def test_a_damaged_one_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "SERVED.json"
    path.write_text('{"version": 3}')
    with pytest.raises(CorruptDataError, match=r"SERVED\.json does not name a version"):
        pointed_at(path)


def test_a_folder_that_is_gone_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot write"):
        point_at(tmp_path / "gone" / "SERVED.json", SERVED)
