"""Composite programs: how many, how they are joined, and what must hold of the new one."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from zeroloop.core.composites import (
    Composites,
    chance,
    composed,
    count_max,
    draw_count,
    functions_of,
    problem,
)
from zeroloop.core.renaming import with_entry_point
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Task

ON = AlgorithmSettings(composite_start_step=1)
SQUARE = Task(
    domain="code",
    kind=Kind.DEDUCTION,
    program="def f(x):\n    return x * x",
    cases=(Case("2", "4"),),
)
ROOT = replace(SQUARE, program="def f(x):\n    return math.sqrt(x)", imports=("import math",))
FUNCTIONS = functions_of([SQUARE, ROOT])


def counts(step: int, settings: AlgorithmSettings, draws: int = 4000) -> Counter[int]:
    rng = Random(7)
    return Counter(draw_count(step, settings, rng) for _ in range(draws))


def test_nothing_is_composite_unless_asked_for() -> None:
    assert set(counts(500, AlgorithmSettings())) == {0}


def test_composites_begin_at_their_step() -> None:
    settings = AlgorithmSettings(composite_start_step=20, composite_chance=1)
    assert set(counts(19, settings)) == {0}
    assert set(counts(20, settings)) == {1, 2, 3}


def test_half_of_the_proposals_build_on_one_to_three_programs() -> None:
    drawn = counts(1, ON, 6000)
    assert drawn[0] == pytest.approx(3000, abs=200)
    assert all(drawn[count] == pytest.approx(1000, abs=120) for count in (1, 2, 3))


@pytest.mark.parametrize(
    ("limit", "drawn"),
    [
        pytest.param(3, {1, 2}, id="the reference excludes the upper bound"),
        pytest.param(1, {1}, id="but one program is drawn at least"),
    ],
)
def test_an_exclusive_count_stays_below_the_most(limit: int, drawn: set[int]) -> None:
    settings = replace(
        ON, composite_count="exclusive", composite_programs_max=limit, composite_chance=1
    )
    assert set(counts(1, settings)) == drawn


@pytest.mark.parametrize(
    ("step", "most", "share"),
    [
        pytest.param(1, 1, 0.5, id="begins with one"),
        pytest.param(100, 1, 0.5, id="before the first rise"),
        pytest.param(101, 2, 0.51, id="first rise"),
        pytest.param(150, 2, 0.51, id="before the second"),
        pytest.param(151, 3, 0.52, id="second rise"),
        pytest.param(201, 3, 0.53, id="the count is capped"),
        pytest.param(100_000, 3, 0.8, id="the chance is capped"),
    ],
)
def test_the_schedule_raises_count_and_chance(step: int, most: int, share: float) -> None:
    settings = replace(ON, composite_schedule=True)
    assert count_max(step, settings) == most
    assert chance(step, settings) == pytest.approx(share)


def test_a_schedule_never_lowers_a_chance() -> None:
    assert chance(101, replace(ON, composite_schedule=True, composite_chance=0.9)) == 0.9


def test_entry_points_become_functions_that_can_be_called() -> None:
    assert FUNCTIONS.names == ("g_0", "g_1")
    assert FUNCTIONS.imports == ("import math",)
    assert FUNCTIONS.sources == (
        "def g_0(x):\n    return x * x",
        "def g_1(x):\n    return math.sqrt(x)",
    )
    assert SQUARE.program.startswith("def f")


@pytest.mark.parametrize(
    ("program", "renamed"),
    [
        pytest.param(
            "def f(n):\n    return n and f(n - 1)",
            "def g(n):\n    return n and g(n - 1)",
            id="recursion",
        ),
        pytest.param(
            "def h(f):\n    return f + 1\n\ndef f(x):\n    return h(x)",
            "def h(f):\n    return f + 1\n\ndef g(x):\n    return h(x)",
            id="a parameter stays",
        ),
        pytest.param(
            "def f(x):\n    for f in x:\n        print(f)\n    return f",
            "def g(x):\n    for f in x:\n        print(f)\n    return f",
            id="a local variable stays",
        ),
        pytest.param(
            "class A:\n\n    def f(self):\n        return f(3)\n\ndef f(x):\n    return A().f()",
            "class A:\n\n    def f(self):\n        return g(3)\n\ndef g(x):\n    return A().f()",
            id="a method stays, what it calls does not",
        ),
        pytest.param(
            "def f(x, key=lambda f: f):\n    return [f for f in x] + [f(i) for i in dict(f=x)]",
            "def g(x, key=lambda f: f):\n    return [f for f in x] + [g(i) for i in dict(f=x)]",
            id="variables of lambdas and comprehensions, and keywords, stay",
        ),
        pytest.param(
            "def f(x):\n\n    def reset():\n        global f\n        f = None\n    return reset",
            "def g(x):\n\n    def reset():\n        global g\n        g = None\n    return reset",
            id="a global that is set",
        ),
    ],
)
def test_only_the_entry_point_is_renamed(program: str, renamed: str) -> None:
    assert with_entry_point(program, "g") == renamed


@pytest.mark.parametrize("program", ["def h(x):\n    return x", "def f(:"])
def test_a_program_without_an_entry_point_is_refused(program: str) -> None:
    with pytest.raises(ValueError, match="without a function f"):
        functions_of([replace(SQUARE, program=program)])


def test_a_composed_program_runs_alone_and_remembers_what_was_proposed() -> None:
    proposed = "def f(x):\n    return g_0(x) + g_1(x) + floor(x)"
    task = replace(SQUARE, program=proposed, imports=("from math import floor", "import math"))

    whole = composed(task, FUNCTIONS)

    names: dict[str, object] = {}
    exec(whole.source, names)
    assert eval("f(4)", names) == 22
    assert whole.imports == ("import math", "from math import floor")
    assert whole.composites == FUNCTIONS.sources
    assert whole.original_program == proposed
    assert SQUARE.original_program == SQUARE.program


@pytest.mark.parametrize(
    ("program", "why"),
    [
        pytest.param("def f(x):\n    return g_0(x) + g_1(x)", "", id="calls both"),
        pytest.param(
            "def f(x):\n    def h(y):\n        return g_0(y)\n    return h(g_1(x))",
            "",
            id="also from a nested function",
        ),
        pytest.param("def f(x):\n    return g_0(x)", "f must call g_1", id="one is not called"),
        pytest.param(
            "def h(x):\n    return g_1(x)\n\ndef f(x):\n    return g_0(h(x))",
            "f must call g_1",
            id="one is called elsewhere",
        ),
        pytest.param("def f(x):\n    return [g_0, g_1]", "f must call g_0, g_1", id="only named"),
        pytest.param(
            "def g_0(x):\n    return 1\n\ndef f(x):\n    return g_0(x) + g_1(x)",
            "g_0 must not be redefined",
            id="redefined",
        ),
        pytest.param(
            "g_1 = abs\n\ndef f(x):\n    return g_0(x) + g_1(x)",
            "g_1 must not be redefined",
            id="assigned",
        ),
        pytest.param(
            "def f(x, g_0=abs):\n    return g_0(x) + g_1(x)",
            "g_0 must not be redefined",
            id="shadowed",
        ),
        pytest.param(
            "def f(x):\n    return x or g_0(y) + g_1(x)",
            "f passes y, which nothing defines",
            id="passes an unknown name",
        ),
        pytest.param(
            "N = 3\n\ndef f(x):\n    z = max(x, N)\n    return g_0(math.floor(z)) + g_1(z)",
            "",
            id="passes builtins, globals, imports and local variables",
        ),
        pytest.param(
            "class A:\n    def f(self): return g_0(1) + g_1(1)",
            "there is no function f at the top level",
            id="no entry point",
        ),
        pytest.param("def f(:", "", id="a syntax error is another rejection"),
    ],
)
def test_a_proposal_must_build_on_its_functions(program: str, why: str) -> None:
    assert problem(program, (), FUNCTIONS) == why


def test_a_star_import_may_bring_any_name() -> None:
    functions = Composites(imports=(), sources=FUNCTIONS.sources[:1])
    program = "def f(x):\n    return g_0(tau * x)"
    assert problem(program, ("from math import *",), functions) == ""
    assert problem(program, (), functions) == "f passes tau, which nothing defines"
