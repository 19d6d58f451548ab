"""The last lines of a run: what came of it, and where to go."""

from tests.unit.cli.test_report import change, facts_of
from tests.unit.sdk.recorded_run import recorded_run
from zeroloop.cli.play.closing import closing_lines, heldout_lines, stopped_lines
from zeroloop.core.tasks import Kind


def test_the_closing_lines_say_what_came_of_it_and_where_to_go() -> None:
    lines = closing_lines(facts_of(recorded_run(rounds=14)), "runs/latest", report=True)

    assert lines[0] == "done in 10m 04s: 14 rounds, 630 tasks, weights v14"
    assert lines[1].startswith("  held-out   deduction")
    assert lines[-3:] == [
        "  report     runs/latest/report.html",
        "  trace      zeroloop trace runs/latest --round 14",
        "  go on      zeroloop play --resume runs/latest",
    ]


def test_one_round_is_not_several() -> None:
    lines = closing_lines(facts_of(recorded_run(rounds=1)), "runs/latest", report=True)

    assert ": 1 round, " in lines[0]


def test_a_settled_change_is_told_and_an_unsettled_one_is_not_oversold() -> None:
    risen = heldout_lines({Kind.DEDUCTION: change(60)})
    open_ = heldout_lines({Kind.DEDUCTION: change(3)})

    assert risen == ["  held-out   deduction  43.3 % (+20.0, 95 % interval +15.3 to +24.4)"]
    assert open_[0].endswith("run `make learn` for a result that is significant")


def test_without_an_evaluation_nothing_is_claimed() -> None:
    assert heldout_lines({}) == []


def test_a_stopped_run_says_how_it_goes_on() -> None:
    assert stopped_lines(5, "estimate", "runs/latest") == (
        "stopped in round 5, estimate; what is stored stays",
        "  go on      zeroloop play --resume runs/latest",
    )
