"""What makes a proposal a task."""

import pytest

from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import RunStatus
from zeroloop.core.validity import (
    Accepted,
    Rejected,
    Rejection,
    banned_imports,
    check_inputs,
    check_output,
    check_program,
    check_run,
)


@pytest.mark.parametrize(
    ("source", "dotted", "component"),
    [
        ("import random", ["random"], ["random"]),
        ("import numpy.random", [], ["random"]),
        ("from random import choice as c", ["random"], ["random"]),
        ("def f(x):\n    import time\n    return x", ["time"], ["time"]),
        ("import os", [], []),
        ("import os.path", ["os.path"], []),
        ("from os import environ", ["os.environ"], []),
        ("from os import getcwd", [], []),
        ("import os\nos.environ['A']", ["os.environ"], []),
        ("import os as o\no.path.join('a')", ["os.path"], []),
        ("os = {}\nos.environ", [], []),
        ("import sys", ["sys"], ["sys"]),
        ("from shutil import rmtree", ["shutil"], ["shutil"]),
        ("import datetime.x as d", ["datetime"], ["datetime"]),
        ("__import__('random').random()", ["random"], []),
        ("import importlib\nimportlib.import_module('time')", ["time"], []),
        ("import math, json, re, collections", [], []),
        ("x = 'import random'", [], []),
        ("from . import random", [], []),
        ("import random\ndef f(:", ["random"], ["random"]),
        ("randomise = 1\ndef f(:", [], []),
    ],
)
def test_banned_imports(source: str, dotted: list[str], component: list[str]) -> None:
    assert banned_imports(source, PAPER) == dotted
    options = PAPER.with_changes({"banned_match": "component"})
    assert banned_imports(source, options) == component


def test_a_program_is_checked_before_it_is_run() -> None:
    assert check_program("import time\ndef f(x): return x", PAPER) == Rejected(
        Rejection.BANNED_IMPORT, "time"
    )
    assert check_program("def f(x) return x", PAPER) == Rejected(Rejection.SYNTAX_ERROR)
    assert check_program("import math\ndef f(x): return x", PAPER) is None


def test_inputs_must_be_literals_and_may_have_to_differ() -> None:
    assert check_inputs(["1", "dict(a=1), float('nan')", "[1], x=2"], distinct=True) is None
    assert check_inputs(["1", " 1 "], distinct=False) is None
    repeated = check_inputs(["[1,2]", "[1, 2]"], distinct=True)
    assert repeated == Rejected(Rejection.INPUTS, "'[1, 2]' repeats")
    for text in ("__import__('os')", "x", "1) or True #"):
        refused = check_inputs([text], distinct=False)
        assert refused is not None
        assert refused.reason is Rejection.INPUTS


@pytest.mark.parametrize(
    ("status", "deterministic", "verdict"),
    [
        pytest.param(RunStatus.OK, True, Accepted("5"), id="agreed"),
        pytest.param(RunStatus.OK, False, Rejection.NONDETERMINISTIC, id="differed"),
        pytest.param(RunStatus.OK, None, Rejection.NONDETERMINISTIC, id="unknown"),
        pytest.param(RunStatus.ERROR, True, Rejection.FAILED, id="raised"),
        pytest.param(RunStatus.ERROR, False, Rejection.NONDETERMINISTIC, id="raised once"),
        pytest.param(RunStatus.TIMEOUT, None, Rejection.FAILED, id="timed out"),
        pytest.param(RunStatus.OPAQUE, True, Rejection.FAILED, id="no plain data"),
        pytest.param(RunStatus.TOOLARGE, True, Rejection.FAILED, id="too large"),
        pytest.param(RunStatus.CRASH, True, Rejection.FAILED, id="crashed"),
    ],
)
def test_a_run_is_judged_by_status_and_determinism(
    status: RunStatus, *, deterministic: bool | None, verdict: Accepted | Rejection
) -> None:
    found = check_run(status, "5", PAPER, deterministic=deterministic)
    assert (found.reason if isinstance(found, Rejected) else found) == verdict


def test_determinism_can_be_left_unchecked() -> None:
    options = PAPER.with_changes({"determinism": "off"})
    assert check_run(RunStatus.OK, "5", options, deterministic=None) == Accepted("5")


def test_a_failed_platform_says_nothing_about_a_proposal() -> None:
    with pytest.raises(ValueError, match="has no verdict"):
        check_run(RunStatus.NOT_EXECUTED, "", PAPER, deterministic=None)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("None", "the program returned None"),
        ("[None]", None),
        ("nan", "the output does not equal itself"),
        ("{'a': [1, nan]}", "the output does not equal itself"),
        ("'" + "x" * 398 + "'", None),
        ("'" + "x" * 399 + "'", "the output has 401 of at most 400 characters"),
        (str([0] * 500), "the output has 1500 of at most 400 characters"),
    ],
)
def test_the_policy_of_outputs(text: str, verdict: str | None) -> None:
    expected = Accepted(text) if verdict is None else Rejected(Rejection.OUTPUT_POLICY, verdict)
    assert check_output(text, PAPER) == expected


def test_output_options() -> None:
    assert check_output("None", PAPER.with_changes({"allow_none_output": True})) == Accepted("None")
    assert check_output("nan", PAPER.with_changes({"equality": "typed"})) == Accepted("nan")
    cut = check_output("'" + "x" * 900 + "'", PAPER.with_changes({"long_output": "truncate"}))
    assert isinstance(cut, Accepted)
    assert len(cut.output) == 403


def test_a_text_that_is_not_canonical_is_no_gold() -> None:
    found = check_output("object()", PAPER)
    assert isinstance(found, Rejected)
    assert found.reason is Rejection.FAILED
