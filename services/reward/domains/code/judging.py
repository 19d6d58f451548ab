"""From a solver's reply to an outcome. Values are compared here, never inside the sandbox."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.reward.domains.base import Runner
from zeroloop.core import parsing, programs
from zeroloop.core.execution import SOURCE_BYTES_MAX, Result
from zeroloop.core.judging import Judgement, Solution
from zeroloop.core.literals import (
    LiteralError,
    equal,
    parse_arguments,
    parse_canonical,
    parse_literal,
)
from zeroloop.core.rewards import induction_score
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Outcome, RunStatus, Task


@dataclass(frozen=True, slots=True)
class Grade:
    """What an answer is worth, whatever the layout around it."""

    outcome: Outcome
    accuracy: float = 0.0
    detail: str = ""
    runs: Counter[str] = field(default_factory=Counter[str])


async def judge(solution: Solution, settings: AlgorithmSettings, runner: Runner) -> Judgement:
    """Judge one reply. Unless asked to, it does not look at the layout."""
    read = parsing.parse_solution(solution.response, solution.task.kind, settings)
    if solution.require_format and not read.format_ok:
        grade = Grade(Outcome.MALFORMED, detail="the layout is not think, then answer")
    else:
        grade = await grade_answer(solution.task, read.answer, settings, runner)
    return Judgement(
        solution_id=solution.solution_id,
        outcome=grade.outcome,
        accuracy=grade.accuracy,
        format_ok=read.format_ok,
        detail=grade.detail,
        runs=dict(grade.runs),
    )


async def grade_answer(
    task: Task, answer: str, settings: AlgorithmSettings, runner: Runner
) -> Grade:
    """Grade an answer by what the kind of its task asks for."""
    if not answer:
        return _wrong("there is no answer")
    match task.kind:
        case Kind.ABDUCTION:
            return await _grade_input(task, answer, settings, runner)
        case Kind.DEDUCTION:
            return _grade_value(answer, task.cases[0].output, settings)
        case Kind.INDUCTION:
            return await _grade_program(task, answer, settings, runner)


def _grade_value(answer: str, gold: str, settings: AlgorithmSettings) -> Grade:
    try:
        value = parse_literal(answer)
    except LiteralError as error:
        return _wrong(str(error))
    return _passed() if _equals(value, gold, settings) else _wrong("another value")


async def _grade_input(
    task: Task, answer: str, settings: AlgorithmSettings, runner: Runner
) -> Grade:
    """Any input counts that gives the gold output: programs need not be injective."""
    try:
        parse_arguments(answer)
    except LiteralError as error:
        return _wrong(str(error))
    (result,) = await runner.run(task.source, [answer], reuse=True)
    runs = Counter([] if result.cached else [result.status.value])
    if result.status is RunStatus.NOT_EXECUTED:
        return Grade(Outcome.NOT_EXECUTED, detail=result.detail, runs=runs)
    if _gives(result, task.cases[0].output, settings):
        return replace(_passed(), runs=runs)
    return replace(_wrong(_difference(result)), runs=runs)


async def _grade_program(
    task: Task, answer: str, settings: AlgorithmSettings, runner: Runner
) -> Grade:
    """The answer has the imports of the gold program, and must reproduce the hidden pairs."""
    source = "\n".join((*task.imports, answer))
    if len(source.encode()) > SOURCE_BYTES_MAX:
        return _wrong(f"the program has more than {SOURCE_BYTES_MAX} bytes")
    if programs.parse(answer) is None:
        return _wrong("the program does not parse")
    cases = task.cases if settings.induction_check == "all" else task.hidden_cases
    results = await runner.run(source, [case.input for case in cases])
    runs = Counter(result.status.value for result in results)
    for result in results:
        if result.status is RunStatus.NOT_EXECUTED:
            return Grade(Outcome.NOT_EXECUTED, detail=result.detail, runs=runs)
    return _grade_pairs(cases, results, settings, runs)


def _grade_pairs(
    cases: Sequence[Case],
    results: Sequence[Result],
    settings: AlgorithmSettings,
    runs: Counter[str],
) -> Grade:
    passed = [
        _gives(result, case.output, settings) for case, result in zip(cases, results, strict=True)
    ]
    score = induction_score(passed, settings.induction_reward)
    if score > 0:
        return Grade(Outcome.CORRECT, score, runs=runs)
    first = _difference(results[passed.index(False)])
    return Grade(
        Outcome.WRONG, detail=f"{sum(passed)} of {len(passed)} pairs pass; {first}", runs=runs
    )


def _gives(result: Result, gold: str, settings: AlgorithmSettings) -> bool:
    if result.status is not RunStatus.OK:
        return False
    try:
        value = parse_canonical(result.value)
    except LiteralError:
        return False
    return _equals(value, gold, settings)


def _equals(value: object, gold: str, settings: AlgorithmSettings) -> bool:
    try:
        return equal(parse_canonical(gold), value, typed=settings.equality == "typed")
    except LiteralError:
        return False  # an output that was cut equals nothing


def _difference(result: Result) -> str:
    return "another output" if result.status is RunStatus.OK else f"the run was {result.status}"


def _passed() -> Grade:
    return Grade(Outcome.CORRECT, 1.0)


def _wrong(detail: str) -> Grade:
    return Grade(Outcome.WRONG, detail=detail)
