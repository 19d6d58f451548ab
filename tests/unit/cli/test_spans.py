"""The trace of a round as a tree, from span files as processes leave them."""

import json
from pathlib import Path

import pytest

from zeroloop.cli.spans import Span, read_spans, render, round_tree, to_json
from zeroloop.errors import NotFoundError

S = 1_000_000_000


def span(
    name: str, span_id: str, parent: str, start_s: float, end_s: float, **more: object
) -> Span:
    values: dict[str, object] = {
        "name": name,
        "service": "zeroloop-controller",
        "trace_id": "t41",
        "span_id": span_id,
        "parent_id": parent,
        "start_ns": int(start_s * S),
        "end_ns": int(end_s * S),
        **more,
    }
    return Span(**values)  # type: ignore[arg-type]


ROUND = [
    span("zeroloop.round", "r", "", 0, 478, attributes={"zeroloop.round.index": 41}),
    span("zeroloop.propose", "p", "r", 0, 70, attributes={"zeroloop.batch.size": 192}),
    span("Generate", "g1", "p", 1, 60, service="zeroloop-inference"),
    span("Generate", "g2", "p", 2, 70, service="zeroloop-inference"),
    span("zeroloop.validate", "v", "r", 51, 70, service="zeroloop-reward"),
    span("zeroloop.train", "t", "lost", 300, 461, service="zeroloop-trainer", status="ERROR"),
    span("zeroloop.weights.roll", "w", "r", 475, 478),
]


def test_the_tree_reads_like_the_round() -> None:
    lines = render(round_tree(ROUND, 41))

    assert [" ".join(line.split()) for line in lines] == [
        "zeroloop.round 41 7m 58s",
        "├─ zeroloop.propose controller 192 items 1m 10s",
        "├─ zeroloop.validate reward 19 s (overlaps propose)",
        "├─ zeroloop.train trainer FAILED 2m 41s",
        "└─ zeroloop.weights.roll controller 3 s",
    ]
    assert (
        len(
            {
                line.index(end) + len(end)
                for line, end in zip(lines, ("58s", "10s", "19 s", "41s", " 3 s"), strict=True)
            }
        )
        == 1
    )


def test_equal_pieces_of_work_become_one_line() -> None:
    lines = render(round_tree(ROUND, 41), depth=2)

    assert "│  └─ Generate" in lines[2]
    assert "inference  ×2" in lines[2]
    assert "1m 09s" in lines[2]


def test_a_span_whose_parent_was_killed_hangs_on_the_round() -> None:
    names = [child.name for child in round_tree(ROUND, 41).children]

    assert "zeroloop.train" in names


def test_a_round_that_was_resumed_shows_its_last_trace() -> None:
    again = [
        span(
            "zeroloop.round",
            "r2",
            "",
            500,
            600,
            trace_id="t41b",
            attributes={"zeroloop.round.index": 41},
        ),
    ]

    assert round_tree([*ROUND, *again], 41).spans[0].trace_id == "t41b"


def test_an_unknown_round_says_which_are_known() -> None:
    with pytest.raises(NotFoundError, match="rounds 41 to 41 have one"):
        round_tree(ROUND, 7)


def test_a_call_is_shown_without_its_package() -> None:
    call = span("/zeroloop.reward.v1.RewardService/JudgeSolutions", "j", "p", 3, 4)

    lines = render(round_tree([*ROUND, call], 41), depth=2)

    assert "│  └─ RewardService/JudgeSolutions " in lines[3]


def test_span_files_survive_a_kill(tmp_path: Path) -> None:
    line = {
        "name": "zeroloop.round",
        "trace_id": "a",
        "span_id": "b",
        "parent_id": "",
        "start_ns": 1,
        "end_ns": 2,
        "attributes": {"zeroloop.round.index": 1},
    }
    (tmp_path / "spans-controller.jsonl").write_text(json.dumps(line) + "\n" + '{"name": "zer')
    (tmp_path / "metrics-controller.jsonl").write_text("{}\n")

    assert [found.name for found in read_spans(tmp_path)] == ["zeroloop.round"]


def test_the_tree_as_json_counts_busy_and_wall_time_apart() -> None:
    generate = to_json(round_tree(ROUND, 41))["children"][0]["children"][0]

    assert (generate["count"], generate["wall_s"], generate["busy_s"]) == (2, 69.0, 127.0)
