"""Figures beside their targets: judged, printed and written."""

import json
from pathlib import Path
from typing import Literal

import pytest

from tests.bench import report
from tests.bench.report import UNKNOWN, Row, table, write

FAST = Row(name="fast", value=2.0, unit="N", target=1.5, stretch=5.0, low=1.9, high=2.2, number="1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "better", "met", "stretch_met"),
    [
        pytest.param(4.0, "higher", True, False, id="enough"),
        pytest.param(6.0, "higher", True, True, id="more than enough"),
        pytest.param(2.0, "higher", False, False, id="too little"),
        pytest.param(UNKNOWN, "higher", False, False, id="unknown is not met"),
        pytest.param(UNKNOWN, "lower", False, False, id="unknown is not met either way"),
    ],
)
def test_a_figure_is_judged_by_its_targets(
    value: float, better: Literal["higher", "lower"], met: bool, stretch_met: bool
) -> None:
    row = Row(name="x", value=value, unit="", target=3.0, stretch=5.0, better=better)

    assert (row.met, row.stretch_met) == (met, stretch_met)


def test_lower_can_be_better() -> None:
    row = Row(name="x", value=4.0, unit="ms", target=5.0, stretch=2.0, better="lower")

    assert (row.met, row.stretch_met) == (True, False)


def test_a_figure_without_target_is_not_judged() -> None:
    row = Row(name="x", value=UNKNOWN, unit="")

    assert (row.met, row.stretch_met) == (None, None)


def test_the_table_has_a_line_for_each_row_below_its_head() -> None:
    head, line = table([FAST])

    assert head.split() == ["#", "value", "min", "max", "unit", "accept", "stretch"]
    assert " ".join(line.split()) == "1 fast 2 1.9 2.2 N >= 1.5 met >= 5 not yet"


def test_the_table_leaves_out_what_no_row_has() -> None:
    head, line = table([Row(name="start of buffer", value=0.61, unit="s")])

    assert head.split() == ["value", "unit"]
    assert line.split() == ["start", "of", "buffer", "0.61", "s"]


def test_what_could_not_be_measured_is_written_as_null(folder: Path) -> None:
    lost = Row(name="lost", value=UNKNOWN, unit="N", note="no such program")

    met = write("trial", [FAST, lost], facts={"platform": "systrap"})

    document = json.loads((folder / "trial.json").read_text())
    assert met
    assert [row["value"] for row in document["rows"]] == [2.0, None]
    assert [row["met"] for row in document["rows"]] == [True, None]
    assert document["facts"] == {"platform": "systrap"}
    assert document["machine"]["cores"] >= 1


def test_one_missed_target_fails_the_whole(folder: Path) -> None:
    slow = Row(name="slow", value=1.0, unit="N", target=1.5)

    assert not write("trial", [FAST, slow])
