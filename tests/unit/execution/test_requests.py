"""What callers may ask for, and how their inputs become data."""

import pytest

from services.execution.frames import RunOrder
from services.execution.outcome import Outcome
from services.execution.requests import check, order_of
from zeroloop.core.execution import Limits, Program
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import InvalidRequestError

GOOD = Program("def f(): pass")


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        pytest.param(Limits(cpu_time_s=0.04), "limits.cpu_time", id="too little time"),
        pytest.param(Limits(cpu_time_s=61), "limits.cpu_time", id="too much time"),
        pytest.param(Limits(cpu_time_s=float("nan")), "limits.cpu_time", id="not a number"),
        pytest.param(Limits(wall_time_s=0.5), "limits.wall_time", id="wall below processor"),
        pytest.param(Limits(wall_time_s=301), "limits.wall_time", id="too long"),
        pytest.param(Limits(memory_mib=63), "limits.memory_mib", id="too little memory"),
        pytest.param(Limits(memory_mib=4097), "limits.memory_mib", id="too much memory"),
        pytest.param(Limits(stdout_bytes=-1), "limits.stdout_bytes", id="negative"),
        pytest.param(Limits(value_bytes=0), "limits.value_bytes", id="no value"),
    ],
)
def test_limits_out_of_range_are_named(limits: Limits, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check([GOOD], limits)

    assert field in {violation.field for violation in caught.value.violations}


@pytest.mark.parametrize(
    ("programs", "field"),
    [
        pytest.param([GOOD] * 65, "programs", id="too many"),
        pytest.param([Program("x" * 65_537)], "programs[0].source", id="source too long"),
        pytest.param([Program("é" * 32_769)], "programs[0].source", id="counted in bytes"),
        pytest.param([Program("", ())], "programs[0].inputs", id="no input"),
        pytest.param([Program("", ("",) * 65)], "programs[0].inputs", id="too many inputs"),
        pytest.param([GOOD, Program("", ("1" * 65_537,))], "programs[1].inputs[0]", id="input"),
        pytest.param([Program("", program_id="x" * 129)], "programs[0].program_id", id="id"),
        pytest.param([Program("", program_id="a")] * 2, "programs", id="id given twice"),
    ],
)
def test_programs_out_of_bounds_are_named(programs: list[Program], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check(programs, Limits())

    assert [violation.field for violation in caught.value.violations] == [field]


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check([Program("x" * 65_537)], Limits(memory_mib=1, value_bytes=0))

    assert len(caught.value.violations) == 3


def test_the_largest_request_is_allowed() -> None:
    check([Program("x" * 65_536, ("1" * 65_536,) * 64)] * 64, Limits(cpu_time_s=60))


def test_an_input_is_written_anew() -> None:
    order = order_of("source", " 1,x = {'b': set(),'a':(1,)} #", Limits(memory_mib=64))

    assert isinstance(order, RunOrder)
    assert order.arguments == b"((1,), {'x': {'b': set(), 'a': (1,)}})"
    assert order.memory_bytes == 64 << 20
    assert order.wall_s == 6.0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1) or True #", id="closes the call"),
        pytest.param("eval('1')", id="calls"),
        pytest.param("x", id="a name"),
        pytest.param("[i for i in range(3)]", id="a comprehension"),
        pytest.param("*[1]", id="a star"),
        pytest.param("1,,2", id="no syntax"),
        pytest.param("[" * 500, id="open brackets"),
        pytest.param("frozenset((" * 99 + "1" + ",))" * 99, id="too deep once written anew"),
    ],
)
def test_what_is_no_data_never_reaches_a_sandbox(text: str) -> None:
    outcome = order_of("source", text, Limits())

    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.detail) == (RunStatus.ERROR, "input")
    assert outcome.type_name == "LiteralError"
