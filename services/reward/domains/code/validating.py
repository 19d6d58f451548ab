"""From a proposer's reply to a verified task.

Order of the checks: payloads, composites, banned imports, syntax, inputs, two runs, policy of
outputs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.reward.domains.base import Runner
from zeroloop.core import composites, parsing, validity
from zeroloop.core.composites import Composites
from zeroloop.core.execution import SOURCE_BYTES_MAX, Determinism, Result
from zeroloop.core.judging import Proposal, Verdict
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, RunStatus, Task
from zeroloop.core.validity import Rejected, Rejection
from zeroloop.errors import invalid

DOMAIN = "code"

_AGREEMENT = {Determinism.YES: True, Determinism.NO: False, Determinism.UNKNOWN: None}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A task that has not run yet; its cases have no outputs."""

    task: Task
    inputs: tuple[str, ...]


async def validate(proposal: Proposal, settings: AlgorithmSettings, runner: Runner) -> Verdict:
    """Decide whether a proposal is a task.

    Raises:
        InvalidRequestError: An induction proposal comes without the program it describes, or
            another one with programs to build on that are none.
    """
    verdict = Verdict(
        proposal_id=proposal.proposal_id,
        format_ok=parsing.format_ok(proposal.response) or not settings.format_reward,
    )
    candidate = _candidate(proposal, settings)
    if isinstance(candidate, Rejected):
        return _rejected(verdict, candidate)
    results = await runner.run(
        candidate.task.source,
        candidate.inputs,
        check_determinism=settings.determinism == "pair",
    )
    verdict = replace(verdict, runs=Counter(result.status.value for result in results))
    return _judged(verdict, candidate, results, settings)


def _candidate(proposal: Proposal, settings: AlgorithmSettings) -> _Candidate | Rejected:
    if proposal.kind is Kind.INDUCTION:
        candidate = _induction_candidate(proposal, settings)
    else:
        candidate = _program_candidate(proposal, settings)
    if isinstance(candidate, Rejected):
        return candidate
    distinct = proposal.kind is Kind.INDUCTION and settings.distinct_induction_inputs
    problem = validity.check_inputs(candidate.inputs, distinct=distinct)
    return candidate if problem is None else problem


def _program_candidate(proposal: Proposal, settings: AlgorithmSettings) -> _Candidate | Rejected:
    found = parsing.parse_program_proposal(proposal.response, settings, seeding=proposal.seeding)
    if isinstance(found, parsing.Malformation):
        return Rejected(Rejection.UNPARSABLE, found.value)
    task = Task(
        domain=DOMAIN,
        kind=proposal.kind,
        program=found.program,
        imports=found.imports,
        cases=(),
        thought=parsing.thought(proposal.response),
    )
    if proposal.composites:
        functions = _functions(proposal.composites)
        if why := composites.problem(found.program, found.imports, functions):
            return Rejected(Rejection.COMPOSITE, why)
        task = composites.composed(task, functions)
    if len(task.source.encode(errors="replace")) > SOURCE_BYTES_MAX:
        return Rejected(Rejection.UNPARSABLE, parsing.Malformation.TOO_LARGE.value)
    problem = validity.check_program(task.source, settings)
    return _Candidate(task=task, inputs=(found.input,)) if problem is None else problem


def _functions(tasks: Sequence[Task]) -> Composites:
    try:
        return composites.functions_of(tasks)
    except ValueError as error:
        raise invalid("proposals.composites", str(error)) from error


def _induction_candidate(proposal: Proposal, settings: AlgorithmSettings) -> _Candidate | Rejected:
    if proposal.source is None:
        raise invalid("proposals.source", "an induction proposal needs the task it describes")
    if len(proposal.source.source.encode()) > SOURCE_BYTES_MAX:
        raise invalid("proposals.source", f"must have at most {SOURCE_BYTES_MAX} bytes of program")
    found = parsing.parse_induction_proposal(proposal.response, settings, seeding=proposal.seeding)
    if isinstance(found, parsing.Malformation):
        return Rejected(Rejection.UNPARSABLE, found.value)
    task = Task(
        domain=DOMAIN,
        kind=Kind.INDUCTION,
        program=proposal.source.program,
        imports=proposal.source.imports,
        cases=(),
        message=found.message,
        thought=parsing.thought(proposal.response),
        shown=settings.induction_shown,
    )
    return _Candidate(task=task, inputs=found.inputs)


def _judged(
    verdict: Verdict,
    candidate: _Candidate,
    results: Sequence[Result],
    settings: AlgorithmSettings,
) -> Verdict:
    for result in results:
        if result.status is RunStatus.NOT_EXECUTED:
            return replace(verdict, not_executed=result.detail or "not executed")
    cases: list[Case] = []
    for text, result in zip(candidate.inputs, results, strict=True):
        found = validity.check_run(
            result.status,
            result.value,
            settings,
            deterministic=_AGREEMENT[result.determinism],
        )
        if isinstance(found, Rejected):
            return _rejected(verdict, found)
        cases.append(Case(text, found.output))
    return replace(verdict, task=replace(candidate.task, cases=tuple(cases)))


def _rejected(verdict: Verdict, rejected: Rejected) -> Verdict:
    return replace(verdict, rejection=rejected.reason, detail=rejected.detail)
