"""From what ways did in their turns to rows, demands and the picture."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.bench.executing import targets
from tests.bench.executing.callers import Caller
from tests.bench.executing.echo import EchoRunner
from tests.bench.executing.picture import chart
from tests.bench.executing.spreads import Spread, ideal_per_s, quantile, ratios, spread
from tests.bench.executing.trivial import BATCH, Input, WrongResultError, inputs
from tests.bench.executing.ways import Visit, Way, interleaved
from tests.singly import of_pool
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.tasks import RunStatus

SVG = "{http://www.w3.org/2000/svg}"


def visit(programs: int, *, processor_s: float = 0.0) -> Visit:
    """A turn of one second."""
    return Visit(programs, 1.0, processor_s, 0.0)


class Runner:
    """Gives every program the same result; has no modes."""

    def __init__(self, *values: str, status: RunStatus = RunStatus.OK) -> None:
        self._values = values
        self._status = status

    async def execute(
        self, programs: Sequence[Program], limits: Limits, mode: str
    ) -> AsyncGenerator[Result]:
        for index, value in enumerate(self._values):
            yield Result(program_id=str(index), input_index=0, status=self._status, value=value)


def test_a_spread_has_median_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_ratios_are_taken_within_each_turn() -> None:
    """The machine was half as fast in the second turn, for both."""
    assert ratios([100.0, 50.0], [10.0, 5.0]) == Spread(10.0, 10.0, 10.0)


def test_turns_of_two_ways_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 50.0, id="p50"),
        pytest.param(0.99, 99.0, id="p99"),
        pytest.param(1.0, 100.0, id="all"),
        pytest.param(0.001, 1.0, id="smallest"),
    ],
)
def test_a_quantile_is_one_of_the_values(share: float, expected: float) -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], share) == expected


@pytest.mark.parametrize("statistic", [spread, lambda values: quantile(values, 0.5)])
def test_nothing_measured_has_no_statistics(statistic: object) -> None:
    assert callable(statistic)
    with pytest.raises(ValueError, match="no measurement"):
        statistic([])


def test_without_loops_the_ideal_is_what_was_measured() -> None:
    assert ideal_per_s(cores=2, loops_share=0.0, limit_s=1.0, trivial_per_s=120.0) == 120.0


def test_loops_cost_their_limit_of_a_core() -> None:
    found = ideal_per_s(cores=2, loops_share=1 / 60, limit_s=0.3, trivial_per_s=2000.0)

    assert found == pytest.approx(2 / (0.005 + 0.001))


def test_every_demand_is_answered_by_the_way_that_it_is_about() -> None:
    names = {targets.NATIVE: "N", "strict pipe 1": "strict", "python": "plain"}
    visits = {
        targets.NATIVE: [visit(600), visit(500)],
        "strict pipe 1": [visit(66), visit(60)],
        "python": [visit(60), visit(50)],
    }

    strict, plain = targets.ratio_rows(names, visits)

    assert (strict.number, strict.target, strict.stretch) == ("3", 0.10, 0.16)
    assert (strict.value, strict.low, strict.high) == pytest.approx((0.115, 0.11, 0.12))
    assert strict.met
    assert (plain.number, plain.target, plain.value) == ("", None, 0.1)


@pytest.mark.parametrize(
    ("mode", "platform", "target"),
    [
        pytest.param("reset", "systrap", 1.4, id="reset on systrap"),
        pytest.param("reset", "ptrace", 1.7, id="reset on ptrace"),
        pytest.param("strict", "systrap", None, id="strict is only reported"),
    ],
)
def test_a_second_sandbox_is_judged_by_the_platform(
    mode: str, platform: str, target: float | None
) -> None:
    visits = {f"{mode} pipe 1": [visit(1000)], f"{mode} pipe 2": [visit(1500)]}

    row = targets.scaling_row(mode, platform, visits)

    assert (row.value, row.target) == (1.5, target)


def test_processor_time_is_that_of_one_run() -> None:
    sandbox, own = targets.processor_rows("reset", {"reset pipe 1": [visit(500, processor_s=0.4)]})

    assert (sandbox.value, sandbox.number, sandbox.met) == (pytest.approx(0.8), "8", True)
    assert (own.value, own.target) == (0.0, None)


def test_inputs_are_never_the_same_twice() -> None:
    texts = [one.text for one in (*inputs(BATCH), *inputs(BATCH))]

    assert len(set(texts)) == 2 * BATCH


def test_another_value_is_refused() -> None:
    one = Input([3, 1, 2, 7, 6, 5, 4], 2)

    one.check("[1, 2]")
    with pytest.raises(WrongResultError, match=r"gave '\[1, 3\]'"):
        one.check("[1, 3]")


async def test_a_caller_checks_every_result() -> None:
    assert await Caller(of_pool(EchoRunner()), "strict").trivial(BATCH) == BATCH


@pytest.mark.parametrize(
    "runner",
    [
        pytest.param(Runner("[]"), id="wrong value"),
        pytest.param(Runner(), id="no result"),
        pytest.param(Runner("", status=RunStatus.NOT_EXECUTED), id="not executed"),
    ],
)
async def test_a_caller_refuses_what_is_no_result_of_the_program(runner: Runner) -> None:
    with pytest.raises(WrongResultError):
        await Caller(runner.execute, "strict").trivial(1)


async def test_a_caller_knows_which_mode_answered() -> None:
    caller = Caller(of_pool(EchoRunner()), "reset")
    await caller.trivial(4)

    assert caller.elsewhere == 1.0  # what echoes says `strict`


async def test_ways_take_turns_after_all_have_warmed_up() -> None:
    order: list[str] = []

    def way(key: str, warm_programs: int) -> Way:
        async def call() -> int:
            order.append(key)
            return 2

        return Way(key=key, name=key, callers=[call], warm_programs=warm_programs)

    visits = await interleaved([way("a", 4), way("b", 2)], rounds=2, visit_s=0.0)

    assert order == ["a", "a", "b", "a", "b", "a", "b"]
    assert [v.programs for v in visits["a"]] == [2, 2]


async def test_callers_of_a_way_work_side_by_side() -> None:
    met = asyncio.Barrier(2)

    async def call() -> int:
        await met.wait()
        return 1

    way = Way(key="a", name="a", callers=[call, call])
    [found] = (await interleaved([way], rounds=1, visit_s=0.0))["a"]

    assert found.programs == 2


def test_the_picture_has_a_bar_for_each_ratio_and_marks_for_its_targets() -> None:
    rows = [
        targets.row("strict", Spread(0.12, 0.11, 0.13), "N", "strict pipe 1"),
        targets.row("slow & plain", Spread(0.01, 0.009, 0.011), "N"),
        targets.row("rate", Spread(600.0, 590.0, 610.0), "exec/s"),
        targets.missing("boxed", "not on this machine"),
    ]

    drawing = ET.fromstring(chart(rows, heading="Multiples of N"))

    bars = [r for r in drawing.iter(f"{SVG}rect") if r.get("class") != "paper"]
    words = [text.text for text in drawing.iter(f"{SVG}text")]
    marks = [line.get("class") for line in drawing.iter(f"{SVG}line")]
    assert [bar.get("class") for bar in bars] == ["met", "plain"]
    assert float(bars[0].get("width", 0)) > float(bars[1].get("width", 0)) > 0
    assert "slow & plain" in words
    assert "not on this machine" in words
    assert (marks.count("accept"), marks.count("stretch")) == (2, 2)  # one each in the legend


def test_a_mark_lies_where_a_bar_of_that_length_ends() -> None:
    row = targets.row("strict", Spread(0.10, 0.10, 0.10), "N", "strict pipe 1")

    drawing = ET.fromstring(chart([row], heading="x"))

    [bar] = [r for r in drawing.iter(f"{SVG}rect") if r.get("class") == "met"]
    mark = [line for line in drawing.iter(f"{SVG}line") if line.get("class") == "accept"][-1]
    end = float(bar.get("x", 0)) + float(bar.get("width", 0))
    assert float(mark.get("x1", 0)) == pytest.approx(end, abs=0.02)


def test_a_picture_of_nothing_is_still_one() -> None:
    assert ET.fromstring(chart([], heading="x")).tag == f"{SVG}svg"
