"""The code domain: from replies to verified tasks, and from answers to outcomes."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.reward.domains.code import judging, validating
from services.reward.runs import RetryPolicy, RunPool
from tests.unit.reward.fakes import FakeExecutor
from zeroloop.core.execution import Determinism, Limits
from zeroloop.core.judging import Judgement, Proposal, Solution, Verdict
from zeroloop.core.presets import PAPER
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Outcome, Task
from zeroloop.core.validity import Rejection
from zeroloop.errors import UnavailableError

SQUARE = "def f(x):\n    return x * x"
GOLD = Task(
    domain="code", kind=Kind.DEDUCTION, program=SQUARE, cases=(Case("-3", "9"),), imports=()
)


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
async def pool(executor: FakeExecutor) -> AsyncIterator[RunPool]:
    async with RunPool(executor, Limits(), RetryPolicy(backoff_s=0)) as pool:
        yield pool


def propose(
    program: str = SQUARE, text: str = "-3", layout: str = "a</think><answer>{}</answer>"
) -> str:
    body = f"```python\n{program}\n```\n```input\n{text}\n```"
    return layout.replace("{}", body)


def proposal(response: str, kind: Kind = Kind.DEDUCTION, **changes: object) -> Proposal:
    return replace(Proposal(proposal_id="p", kind=kind, response=response), **changes)


def induction(inputs: list[str], message: str = "Square it.") -> str:
    body = "\n".join(f"```input\n{text}\n```" for text in inputs)
    return f"a</think><answer>{body}\n```message\n{message}\n```</answer>"


async def validate(pool: RunPool, what: Proposal, options: AlgorithmSettings = PAPER) -> Verdict:
    return await validating.validate(what, options, pool)


async def test_a_valid_proposal_becomes_a_task_with_the_output_of_its_run(
    pool: RunPool, executor: FakeExecutor
) -> None:
    verdict = await validate(pool, proposal(propose("import math\n" + SQUARE)))
    assert verdict == Verdict(
        proposal_id="p",
        task=replace(GOLD, imports=("import math",), thought="a"),
        format_ok=True,
        runs={"ok": 1},
    )
    assert executor.calls[0][0].check_determinism


async def test_a_valid_proposal_in_a_broken_layout_is_still_a_task(pool: RunPool) -> None:
    verdict = await validate(pool, proposal(propose(layout="<answer>{}</answer>")))
    assert verdict.task is not None
    assert not verdict.format_ok


@pytest.mark.parametrize(
    ("response", "rejection", "detail"),
    [
        pytest.param("nothing", Rejection.UNPARSABLE, "no_program", id="no payload"),
        pytest.param(
            propose("import random\n" + SQUARE), Rejection.BANNED_IMPORT, "random", id="banned"
        ),
        pytest.param(propose("def f(x) return x"), Rejection.SYNTAX_ERROR, "", id="syntax"),
        pytest.param(
            propose(text="__import__('os')"), Rejection.INPUTS, "", id="input is no literal"
        ),
        pytest.param(propose(text="1) or True #"), Rejection.INPUTS, "", id="input breaks out"),
        pytest.param(
            propose("def f(x):\n    raise Exception"), Rejection.FAILED, "error", id="raises"
        ),
        pytest.param(
            propose("def f(x):\n    raise TimeoutError"), Rejection.FAILED, "timeout", id="too slow"
        ),
        pytest.param(
            propose("def f(x):\n    return f"), Rejection.FAILED, "opaque", id="no plain data"
        ),
        pytest.param(propose("def f(x):\n    pass"), Rejection.OUTPUT_POLICY, "None", id="None"),
        pytest.param(
            propose("def f(x):\n    return float('nan')"), Rejection.OUTPUT_POLICY, "", id="NaN"
        ),
        pytest.param(
            propose("def f(x):\n    return [0] * 500"), Rejection.OUTPUT_POLICY, "1500", id="long"
        ),
    ],
)
async def test_what_is_no_task_is_rejected_with_its_reason(
    pool: RunPool, response: str, rejection: Rejection, detail: str
) -> None:
    verdict = await validate(pool, proposal(response))
    assert verdict.rejection is rejection
    assert detail in verdict.detail
    assert verdict.task is None
    assert verdict.not_executed == ""


@pytest.mark.parametrize("found", [Determinism.NO, Determinism.UNKNOWN])
async def test_a_program_that_is_not_known_to_be_deterministic_is_rejected(
    pool: RunPool, executor: FakeExecutor, found: Determinism
) -> None:
    executor.determinism = found
    verdict = await validate(pool, proposal(propose()))
    assert verdict.rejection is Rejection.NONDETERMINISTIC


async def test_an_induction_proposal_gets_one_output_per_input(pool: RunPool) -> None:
    inputs = [str(i) for i in range(11)]
    what = proposal(induction(inputs), Kind.INDUCTION, source=GOLD)
    verdict = await validate(pool, what)
    assert verdict.task is not None
    assert verdict.task.cases == tuple(Case(str(i), str(i * i)) for i in range(1, 11))
    assert (verdict.task.shown, verdict.task.message, verdict.task.program) == (
        5,
        "Square it.",
        SQUARE,
    )
    assert verdict.runs == {"ok": 10}


@pytest.mark.parametrize(
    ("inputs", "rejection"),
    [
        pytest.param([str(i) for i in range(9)], Rejection.UNPARSABLE, id="nine inputs"),
        pytest.param(["1", " 1 ", *"23456789"], Rejection.INPUTS, id="an input repeats"),
        pytest.param([*"123456789", "x"], Rejection.INPUTS, id="one is no literal"),
        pytest.param([*"123456789", "'a'"], Rejection.FAILED, id="one fails"),
    ],
)
async def test_one_bad_input_rejects_an_induction_proposal(
    pool: RunPool, inputs: list[str], rejection: Rejection
) -> None:
    verdict = await validate(pool, proposal(induction(inputs), Kind.INDUCTION, source=GOLD))
    assert verdict.rejection is rejection


async def test_induction_does_not_check_imports_again(pool: RunPool) -> None:
    source = replace(GOLD, imports=("import time",))
    what = proposal(induction([str(i) for i in range(10)]), Kind.INDUCTION, source=source)
    verdict = await validate(pool, what)
    assert verdict.task is not None
    assert verdict.task.imports == ("import time",)


async def test_a_failed_platform_never_rejects(pool: RunPool, executor: FakeExecutor) -> None:
    executor.errors = [UnavailableError("no sandbox works")] * 9
    verdict = await validate(pool, proposal(propose()))
    assert verdict.not_executed == "no sandbox works"
    assert (verdict.rejection, verdict.task) == (None, None)
    assert verdict.runs == {"not_executed": 1}


async def test_one_lost_run_leaves_an_induction_proposal_undecided(
    pool: RunPool, executor: FakeExecutor
) -> None:
    executor.lost_per_call = [1] * 9
    what = proposal(induction([*"12345678", "'a'", "9"]), Kind.INDUCTION, source=GOLD)
    verdict = await validate(pool, what)
    assert verdict.not_executed == "runner lost"
    assert verdict.rejection is None


def answer(body: str, layout: str = "a</think><answer>{}</answer>") -> str:
    return layout.replace("{}", body)


async def judge(
    pool: RunPool,
    task: Task,
    response: str,
    options: AlgorithmSettings = PAPER,
    *,
    require_format: bool = True,
) -> Judgement:
    solution = Solution(
        solution_id="s", task=task, response=response, require_format=require_format
    )
    return await judging.judge(solution, options, pool)


def gold(output: str) -> Task:
    return replace(GOLD, cases=(Case("0", output),))


@pytest.mark.parametrize(
    ("output", "body", "plain", "typed"),
    [
        pytest.param("9", "```output\n9\n```", "correct", "correct", id="the value"),
        pytest.param("5.0", "5", "correct", "wrong", id="5 for 5.0"),
        pytest.param("1", "True", "correct", "wrong", id="True for 1"),
        pytest.param("{1, 2}", "{2, 1}", "correct", "correct", id="a set in another order"),
        pytest.param("frozenset({1})", "frozenset([1])", "correct", "correct", id="a constructor"),
        pytest.param("(1, 2)", "1, 2", "correct", "correct", id="several values"),
        pytest.param("9", "8", "wrong", "wrong", id="another value"),
        pytest.param("9", "eval(gold_output)", "wrong", "wrong", id="eval"),
        pytest.param("9", "9) or True #", "wrong", "wrong", id="breaking out"),
        pytest.param("9", "__import__('os')", "wrong", "wrong", id="an import"),
        pytest.param("9", "", "wrong", "wrong", id="nothing"),
        pytest.param("'abc...xyz", "'abc...xyz", "wrong", "wrong", id="a gold that was cut"),
    ],
)
async def test_deduction(
    pool: RunPool, executor: FakeExecutor, output: str, body: str, plain: str, typed: str
) -> None:
    strict = PAPER.with_changes({"equality": "typed"})
    assert (await judge(pool, gold(output), answer(body))).outcome.value == plain
    assert (await judge(pool, gold(output), answer(body), strict)).outcome.value == typed
    assert executor.runs == 0


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param("```input\n3\n```", Outcome.CORRECT, id="another input with the same output"),
        pytest.param("-3", Outcome.CORRECT, id="the gold input"),
        pytest.param("3.0", Outcome.CORRECT, id="9.0 == 9"),
        pytest.param("4", Outcome.WRONG, id="another output"),
        pytest.param("'a'", Outcome.WRONG, id="it raises"),
        pytest.param("1) or True #", Outcome.WRONG, id="breaking out of the call"),
        pytest.param("gold_input", Outcome.WRONG, id="a name"),
    ],
)
async def test_abduction(pool: RunPool, body: str, outcome: Outcome) -> None:
    task = replace(GOLD, kind=Kind.ABDUCTION)
    judged = await judge(pool, task, answer(body))
    assert judged.outcome is outcome
    assert judged.accuracy == float(outcome is Outcome.CORRECT)
    assert bool(judged.detail) is (outcome is Outcome.WRONG)


async def test_equal_abduction_answers_run_once(pool: RunPool, executor: FakeExecutor) -> None:
    task = replace(GOLD, kind=Kind.ABDUCTION)
    first = await judge(pool, task, answer("3"))
    second = await judge(pool, task, answer("3"))
    assert executor.runs == 1
    assert (first.runs, second.runs) == ({"ok": 1}, {})
    assert first.outcome is second.outcome is Outcome.CORRECT


PAIRS = replace(
    GOLD,
    kind=Kind.INDUCTION,
    imports=("import math",),
    cases=tuple(Case(str(i), str(i * i)) for i in range(10)),
    message="Square it.",
    shown=5,
)
KNOWS_SHOWN = "def f(x):\n    return x * x if x < 5 else 0"
KNOWS_HIDDEN = "def f(x):\n    return x * x if x >= 5 else 0"
KNOWS_ONE = "def f(x):\n    return x * x if x == 7 else 0"


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        pytest.param("def f(x):\n    return x ** 2", Outcome.CORRECT, id="the rule"),
        pytest.param(KNOWS_HIDDEN, Outcome.CORRECT, id="shown pairs are not checked"),
        pytest.param(KNOWS_SHOWN, Outcome.WRONG, id="a list of the examples"),
        pytest.param(KNOWS_ONE, Outcome.WRONG, id="all five must pass"),
        pytest.param(
            "def f(x):\n    return math.prod([x, x])", Outcome.CORRECT, id="imports are given"
        ),
        pytest.param("def g(x):\n    return x * x", Outcome.WRONG, id="not named f"),
        pytest.param("def f(x) return x", Outcome.WRONG, id="syntax"),
        pytest.param(
            "class A:\n    __eq__ = lambda *_: True\ndef f(x):\n    return A()",
            Outcome.WRONG,
            id="always equal",
        ),
        pytest.param("#" * 65_536, Outcome.WRONG, id="too large"),
    ],
)
async def test_induction(pool: RunPool, program: str, outcome: Outcome) -> None:
    judged = await judge(pool, PAIRS, answer(f"```python\n{program}\n```"))
    assert judged.outcome is outcome


async def test_induction_options(pool: RunPool) -> None:
    one, hidden = (answer(f"```python\n{text}\n```") for text in (KNOWS_ONE, KNOWS_HIDDEN))
    partly = PAPER.with_changes({"induction_reward": "accuracy"})
    judged = await judge(pool, PAIRS, one, partly)
    assert (judged.outcome, judged.accuracy) == (Outcome.CORRECT, 0.2)
    lenient = PAPER.with_changes({"induction_reward": "if_one_correct"})
    assert (await judge(pool, PAIRS, one, lenient)).accuracy == 1.0
    strict = PAPER.with_changes({"induction_check": "all"})
    assert (await judge(pool, PAIRS, hidden, strict)).outcome is Outcome.WRONG


async def test_a_broken_layout_is_malformed_unless_the_answer_alone_counts(
    pool: RunPool, executor: FakeExecutor
) -> None:
    response = answer("9", layout="<answer>{}</answer>")
    assert (await judge(pool, GOLD, response)).outcome is Outcome.MALFORMED
    assert (await judge(pool, GOLD, response, require_format=False)).outcome is Outcome.CORRECT
    assert (await judge(pool, PAIRS, answer("no fence"))).outcome is Outcome.MALFORMED
    assert executor.runs == 0


@pytest.mark.parametrize("kind", [Kind.ABDUCTION, Kind.INDUCTION])
async def test_a_failed_platform_is_never_a_wrong_answer(
    pool: RunPool, executor: FakeExecutor, kind: Kind
) -> None:
    executor.lost_per_call = [1] * 9
    task = PAIRS if kind is Kind.INDUCTION else replace(GOLD, kind=kind)
    body = f"```python\n{KNOWS_ONE}\n```" if kind is Kind.INDUCTION else "4"
    judged = await judge(pool, task, answer(body))
    assert (judged.outcome, judged.detail) == (Outcome.NOT_EXECUTED, "runner lost")
