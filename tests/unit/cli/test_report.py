"""The report: pictures that say what the figures say, in a page that needs nothing else."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from tests.unit.sdk.recorded_run import RecordedRun, recorded_run
from zeroloop.cli.facts import Evaluation, RoundFacts, RunFacts
from zeroloop.cli.report.cards import card
from zeroloop.cli.report.charts import Series, changes, curves, histogram, points, smooth
from zeroloop.cli.report.choosing import best_tasks, complexity, shape, solved_counts
from zeroloop.cli.report.page import page
from zeroloop.cli.report.svg import Scale, spread, ticks
from zeroloop.cli.report.timeline import Bar, gantt, stacks
from zeroloop.cli.report.words import verdict
from zeroloop.core.heldout import Change, paired_change
from zeroloop.core.rounds import Episode
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

NS = "{http://www.w3.org/2000/svg}"


def facts_of(recorded: RecordedRun) -> RunFacts:
    def accuracies(index: int) -> dict[Kind, dict[str, float]]:
        found: dict[Kind, dict[str, float]] = {}
        for record in recorded.records[index, "evaluate"]:  # type: ignore[index]
            assert isinstance(record, Episode)
            found.setdefault(record.kind, {})[record.task_id] = record.accuracy
        return found

    last = recorded.rounds[-1].round
    return RunFacts(
        run=recorded.run,
        rounds=tuple(
            RoundFacts(one, one.metrics, {"wall_s": 44.0, "idle_s": 4.4}) for one in recorded.rounds
        ),
        tasks=recorded.tasks,
        evaluations=(Evaluation(0, accuracies(0)), Evaluation(last, accuracies(last))),
    )


@pytest.fixture(scope="module")
def facts() -> RunFacts:
    return facts_of(recorded_run(rounds=14))


class Seen(HTMLParser):
    """Remembers what a page would load, and which elements stay open."""

    VOID = frozenset({"meta", "link", "img", "br", "rect", "line", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [v or "" for k, v in attrs if k in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


# ---- the page


def test_the_page_needs_nothing_else(facts: RunFacts) -> None:
    text = page(facts)
    seen = Seen(text)

    assert seen.loaded == []
    assert seen.open == []
    assert "url(" not in text
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_tells_the_story(facts: RunFacts) -> None:
    text = page(facts)

    for words in (
        "14 rounds of self-play, 630 tasks, no training data",
        "Did it get better?",
        "Round by round",
        "How often new tasks were solved",
        "Some of its best tasks",
        "Where the time went",
        "train_on_mc_rollouts",
        "set for this run",
        "Words used here",
    ):
        assert words in text


def test_what_a_model_wrote_is_text_and_never_markup(facts: RunFacts) -> None:
    evil = "def f(x):\n    return '<script>alert(1)</script>' if x < 3 else '</pre>&'"
    poisoned = [replace(t, task=replace(t.task, program=evil, message="<b>")) for t in facts.tasks]

    text = page(replace(facts, tasks=tuple(poisoned)))

    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert Seen(text).open == []


def test_a_run_without_rounds_still_has_a_page(facts: RunFacts) -> None:
    empty = replace(facts, rounds=facts.rounds[:1], tasks=(), evaluations=())

    text = page(empty)

    assert "0 rounds of self-play" in text
    assert "no evaluation before and after" in text
    assert Seen(text).open == []


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        pytest.param(60, "Deduction rose: the interval of the change excludes zero", id="rose"),
        pytest.param(-50, "Deduction fell: the interval of the change excludes zero", id="fell"),
        pytest.param(3, "Not settled by these tasks", id="open"),
    ],
)
def test_the_verdict_claims_no_more_than_the_interval_allows(gain: int, words: str) -> None:
    assert words in verdict({Kind.DEDUCTION: change(gain)})


def test_a_round_accounts_for_every_second(facts: RunFacts) -> None:
    one = facts.played[0]

    assert sum(one.wall_seconds.values()) == pytest.approx(44.0)
    assert "evaluate" not in one.wall_seconds
    assert one.idle_ratio == pytest.approx(0.1)


# ---- pictures


def change(gain: int) -> Change:
    before = {str(i): float(i < 60 + 20 * (i % 2)) for i in range(300)}
    after = {str(i): float(i < 60 + 20 * ((i + 1) % 2) + gain) for i in range(300)}
    return paired_change(before, after)


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)


def test_a_curve_has_a_dot_for_each_round_and_its_name_at_the_end() -> None:
    series = [Series("deduction", "deduction", [(1, 0.2), (2, 0.4), (3, 0.3)])]

    root = parsed(curves(series, alt="accuracy"))

    assert len(root.findall(f"{NS}circle")) == 3
    assert "deduction" in [text.text for text in root.iter(f"{NS}text")]
    titles = [title.text for title in root.iter(f"{NS}title")]
    assert titles == [
        "accuracy",
        *(f"deduction, round {i}: {v} %" for i, v in ((1, 20), (2, 40), (3, 30))),
    ]


def test_a_short_run_is_drawn_through_its_dots_and_a_long_one_smoothed() -> None:
    def off_the_dots(rounds: int) -> int:
        zigzag = [(float(i), 0.2 + 0.4 * (i % 2)) for i in range(rounds)]
        root = parsed(curves([Series("a", "a", zigzag)], alt=""))
        (drawn,) = root.findall(f"{NS}polyline")
        dots = [float(circle.get("cy", "0")) for circle in root.findall(f"{NS}circle")]
        line = [float(point.split(",")[1]) for point in (drawn.get("points") or "").split()]
        return sum(all(abs(y - dot) > 0.1 for dot in dots) for y in line)

    assert off_the_dots(5) == 0
    assert off_the_dots(20) == 20


def test_higher_values_are_drawn_higher() -> None:
    root = parsed(curves([Series("a", "a", [(1, 0.1), (2, 0.9)])], alt=""))

    low, high = [float(circle.get("cy", "0")) for circle in root.findall(f"{NS}circle")]
    assert high < low


def test_bars_are_as_tall_as_their_counts() -> None:
    root = parsed(histogram([10, 20, 0, 5], alt=""))

    heights = [float(bar.get("height", "0")) for bar in root.findall(f"{NS}rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.02)
    assert heights[2] == 0
    muted = [bar.get("class") for bar in root.findall(f"{NS}rect")]
    assert muted == ["fill-muted", "fill-accent", "fill-accent", "fill-muted"]


def test_an_interval_is_drawn_around_its_mean() -> None:
    root = parsed(changes([("deduction", "deduction", change(15))], alt=""))

    for group in root.findall(f"{NS}g"):
        line, dot = group.find(f"{NS}line"), group.find(f"{NS}circle")
        assert line is not None
        assert dot is not None
        low, high = float(line.get("x1", "0")), float(line.get("x2", "0"))
        assert low < float(dot.get("cx", "0")) < high
    words = " ".join(text.text or "" for text in root.iter(f"{NS}text"))
    assert "+5.0" in words
    assert "95 % interval" in words


def test_a_timeline_has_a_bar_per_stage_in_the_order_of_starting() -> None:
    root = parsed(gantt([Bar("solve", 4, 9), Bar("propose", 0, 5)], alt=""))

    titles = [title.text or "" for title in root.iter(f"{NS}title")][1:]
    assert titles == ["propose: 5 s, from 0 s on", "solve: 5 s, from 4 s on"]


def test_columns_add_up_to_the_round() -> None:
    root = parsed(stacks([(1, {"propose": 6.0, "validate": 2.0, "train": 2.0})], alt=""))

    heights = [float(bar.get("height", "0")) for bar in root.findall(f"{NS}rect")]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.05)


@pytest.mark.parametrize("draw", [lambda: curves([], alt="a"), lambda: histogram([], alt="a"),
                                  lambda: gantt([], alt="a"), lambda: stacks([], alt="a"),
                                  lambda: changes([], alt="a")])  # fmt: skip
def test_a_picture_of_nothing_says_so(draw: object) -> None:
    assert "no data" in draw()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 14, [0, 5, 10]),
        (0.92, 0.96, [0.92, 0.93, 0.94, 0.95, 0.96]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high, 4) == found


def test_labels_never_overlap_and_keep_their_order() -> None:
    assert spread([50, 51, 52], 15, 0, 100) == [50, 65, 80]
    assert spread([99, 98, 10], 15, 0, 100) == [100, 85, 10]


def test_a_scale_of_one_value_stays_in_the_middle() -> None:
    assert Scale(3, 3, 0, 100)(3) == 50


def test_smoothing_keeps_the_ends_and_a_constant() -> None:
    assert smooth([(i, 2.0) for i in range(9)], 5) == [(i, 2.0) for i in range(9)]
    assert smooth([(0, 0.0), (1, 3.0)], 5) == [(0, 1.5), (1, 1.5)]


def test_differences_are_signed_points() -> None:
    assert points(0.021) == "+2.1"
    assert points(-0.021) == "\u22122.1"


# ---- tasks


def test_the_best_tasks_are_hard_solvable_and_different(facts: RunFacts) -> None:
    chosen = best_tasks(facts.invented, 3)

    assert 3 <= len(chosen) <= 9
    assert len({shape(task.program) for task in chosen}) == len(chosen)
    for task in chosen:
        assert 0 < task.observations[0].success_rate < 1


def test_renaming_and_constants_do_not_change_a_shape() -> None:
    assert shape("def f(x):\n    return x + 1") == shape("def f(y):\n    return y + 99")
    assert shape("def f(x):\n    return x + 1") != shape("def f(x):\n    return x - 1")


def test_a_program_that_does_not_parse_has_no_size() -> None:
    assert complexity("def f(") == 0


def test_new_tasks_are_counted_by_how_often_they_were_solved(facts: RunFacts) -> None:
    counts = solved_counts(facts.invented)

    assert len(counts) == 9
    assert sum(counts) == len(facts.invented)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_card_highlights_what_the_solver_did_not_see(facts: RunFacts, kind: Kind) -> None:
    task: StoredTask = next(t for t in facts.invented if t.kind is kind)
    hidden = re.findall(r'class="hidden">([^<]*)<', card(task))

    expected = {
        Kind.ABDUCTION: task.input,
        Kind.DEDUCTION: task.output,
        Kind.INDUCTION: task.program,
    }[kind]
    assert [text.replace("&#x27;", "'") for text in hidden] == [expected]
