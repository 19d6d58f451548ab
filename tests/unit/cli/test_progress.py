"""What a person sees while a run is played, from recorded events."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from tests.unit.sdk.recorded_run import recorded_run
from zeroloop.cli.play.progress import (
    Progress,
    bar,
    evaluation_line,
    one_line,
    round_line,
    services_line,
)
from zeroloop.cli.play.screen import block, screen
from zeroloop.core.runs import EventType, RunEvent

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def event(kind: EventType, round_index: int = 5, stage: str = "", **found: float) -> RunEvent:
    figures = {name.replace("__", "."): value for name, value in found.items()}
    return RunEvent(at=NOW, type=kind, round=round_index, stage=stage, figures=figures)


def test_the_live_block_shows_stage_speed_quality_and_time_left() -> None:
    progress = Progress(rounds=14)
    ended = {
        "validity": 0.96, "valid": 48, "distinct": 41, "learnable": 0.61, "loss": 0.0123,
        "solver_accuracy.deduction": 0.34, "solver_accuracy.abduction": 0.38,
        "solver_accuracy.induction": 0.21,
    }  # fmt: skip
    progress.see(RunEvent(at=NOW, type=EventType.ROUND, round=4, figures=ended), 100.0)
    progress.see(event(EventType.WEIGHTS, 4, weights_version=4), 100.0)
    live = {
        "done": 12, "total": 16, "tokens_per_s": 3400, "executions_per_s": 110, "remaining_s": 371,
    }  # fmt: skip
    progress.see(event(EventType.PROGRESS, stage="estimate", **live), 101.0)
    progress.newest = recorded_run(rounds=1).tasks[-1]

    lines = progress.lines(112.0)

    assert lines[0] == (
        "round 5/14   estimate    ████████████░░░░    11 s  3.4k tok/s  110 exec/s"
        "     about 6 min left"
    )
    assert lines[1] == "             proposals 96 % valid, 41 of 48 distinct   learnable 61 %"
    assert lines[2] == (
        "             solver    deduction 34 %  abduction 38 %  induction 21 %"
        "        weights v4  loss 0.0123"
    )
    assert lines[3].startswith("             newest    def f(x):")
    assert "of 8" in lines[3]


def test_while_services_start_the_time_is_shown() -> None:
    assert Progress(rounds=3, began_s=2.0).lines(14.0) == ["starting     services    12 s"]


def test_what_comes_before_the_rounds_is_called_the_beginning() -> None:
    progress = Progress(rounds=3)
    progress.enter(0, "seed", 0.0)

    assert progress.lines(4.0)[0].startswith("beginning    seed")


def test_the_first_round_says_that_the_solver_is_not_known_yet() -> None:
    progress = Progress(rounds=3)
    progress.enter(1, "propose", 5.0)

    assert "not yet known" in "\n".join(progress.lines(6.0))


def test_a_new_stage_starts_its_own_clock_and_bar() -> None:
    progress = Progress(rounds=3)
    progress.see(event(EventType.PROGRESS, 1, "propose", done=3, total=4), 10.0)
    progress.enter(1, "train", 30.0)

    headline = progress.lines(34.0)[0]

    assert "train" in headline
    assert "4 s" in headline
    assert "█" not in headline


def test_time_left_counts_down_between_two_words_of_the_controller() -> None:
    progress = Progress(rounds=9)
    progress.see(event(EventType.PROGRESS, 2, "solve", remaining_s=100), 50.0)

    assert progress.remaining_s(80.0) == 70.0
    assert progress.remaining_s(999.0) == 0.0


def test_time_left_follows_from_the_rounds_if_nobody_says_it() -> None:
    progress = Progress(rounds=10)
    assert progress.remaining_s(0.0) is None
    for index in (1, 2, 3):
        progress.see(event(EventType.ROUND, index), 40.0 * index)

    assert progress.remaining_s(130.0) == pytest.approx(7 * 40.0 - 10.0)


# ---- lines that stay


def test_a_round_becomes_one_line() -> None:
    found = {"validity": 0.94, "learnable": 0.6, "tasks": 90, "wall_s": 41.0, "loss": -0.02}
    line = round_line(event(EventType.ROUND, 2, solver_accuracy__deduction=0.3, **found), 14)

    assert line == (
        "round 2/14  94 % valid  60 % learnable  solver ded 30 %  loss -0.02  90 tasks  41 s"
    )


def test_an_evaluation_carries_its_interval() -> None:
    found = {"heldout_accuracy.deduction": 0.2, "heldout_tasks.deduction": 300}
    before = evaluation_line(RunEvent(at=NOW, type=EventType.EVALUATION, figures=found))

    assert before == (
        "  held-out   deduction 20.0 % ±4.5   (before learning, 300 tasks per kind, ± 95 %)"
    )
    assert evaluation_line(event(EventType.EVALUATION)) == ""


def test_services_say_how_long_they_took() -> None:
    state = event(EventType.STATE, 0, started_s__buffer=0.8, started_s__inference=17.2)

    assert services_line(state) == "  services   buffer 0.8 s · inference 17 s"


@pytest.mark.parametrize(
    ("program", "line"),
    [
        pytest.param("def f(x):\n    return x", "def f(x): return x", id="one statement"),
        pytest.param(
            "def f(x):\n    a = x\n\n    return a", "def f(x): a = x; return a", id="two statements"
        ),
        pytest.param(
            "def f(x):\n    for i in x:\n        x = i\n    return x",
            "def f(x): ⏎ for i in x: ⏎ x = i ⏎ return x",
            id="a block cannot be joined",
        ),
        pytest.param("", "", id="nothing"),
        pytest.param("x" * 99, "x" * 71 + "…", id="too long"),
    ],
)
def test_a_program_fits_on_a_line(program: str, line: str) -> None:
    assert one_line(program) == line


@pytest.mark.parametrize(("ratio", "cells"), [(-1, 0), (0, 0), (0.5, 8), (1, 16), (7, 16)])
def test_a_bar_is_never_wider_than_itself(ratio: float, cells: int) -> None:
    assert bar(ratio) == "█" * cells + "░" * (16 - cells)


# ---- screens


def test_a_terminal_shows_the_block_and_keeps_lines_above_it() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, highlight=False)
    progress = Progress(rounds=3)
    progress.enter(1, "propose", 0.0)

    with screen(progress, console) as show:
        show.say("round 1/3 is over")
        show.say("low disk", warning=True)
    console.print(block(progress, 1.0))

    assert "round 1/3 is over" in output.getvalue()
    assert "low disk" in output.getvalue()
    assert "propose" in output.getvalue()


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with screen(Progress(rounds=3), Console(file=io.StringIO())) as show:
        show.say("round 1/3 is over")
        show.say("low disk", warning=True)

    assert capsys.readouterr().out == "round 1/3 is over\nwarning: low disk\n"


def test_recorded_events_are_shown_from_start_to_end() -> None:
    progress = Progress(rounds=3)
    for number, recorded in enumerate(recorded_run(rounds=3).events):
        progress.see(recorded, float(number))
        progress.lines(float(number))

    assert (progress.round, progress.weights_version) == (3, 3)
