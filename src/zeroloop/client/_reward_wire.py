"""Reward messages to values and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from google.protobuf import json_format, struct_pb2

from zeroloop.client._task_wire import KINDS, OUTCOMES, ROLES, EnumTable, task_from_pb, task_to_pb
from zeroloop.core.judging import (
    Domain,
    Judgement,
    PromptSpec,
    Proposal,
    ProposerEpisode,
    Scored,
    Solution,
    SolverEpisode,
    Verdict,
)
from zeroloop.core.presets import PAPER
from zeroloop.core.settings import AlgorithmSettings, SettingsError
from zeroloop.core.tasks import Task
from zeroloop.core.validity import Rejection
from zeroloop.errors import InvalidRequestError, Violation, invalid
from zeroloop.reward.v1 import reward_pb2 as pb
from zeroloop.task.v1 import task_pb2

_REJECTIONS: EnumTable[Rejection, Any] = EnumTable(
    {rejection: pb.Rejection.Value(f"REJECTION_{rejection.name}") for rejection in Rejection}
)


def context_to_pb(domain: str, settings: AlgorithmSettings) -> pb.Context:
    """Only what differs from the paper travels."""
    paper = PAPER.to_mapping()
    options = struct_pb2.Struct()
    options.update({n: v for n, v in settings.to_mapping().items() if v != paper[n]})
    return pb.Context(domain=domain, options=options)


def settings_from_pb(message: pb.Context) -> AlgorithmSettings:
    """The options in force.

    Raises:
        InvalidRequestError: Options are unknown or out of range; names all of them.
    """
    changes: Mapping[str, Any] = json_format.MessageToDict(message.options)
    try:
        return PAPER.with_changes(changes)
    except SettingsError as error:
        violations = [Violation("context.options", problem) for problem in error.problems]
        raise InvalidRequestError(f"context.options: {error}", violations) from error


def domain_to_pb(domain: Domain) -> pb.Domain:
    return pb.Domain(
        name=domain.name,
        kinds=[KINDS.to_pb(kind) for kind in domain.kinds],
        styles=domain.styles,
        validator=domain.validator,
    )


def domain_from_pb(message: pb.Domain) -> Domain:
    return Domain(
        name=message.name,
        kinds=tuple(KINDS.from_pb(kind, "domain.kinds") for kind in message.kinds),
        styles=tuple(message.styles),
        validator=message.validator,
    )


def spec_to_pb(spec: PromptSpec) -> pb.PromptSpec:
    return pb.PromptSpec(
        kind=KINDS.to_pb(spec.kind),
        role=ROLES.to_pb(spec.role),
        references=[_without_thought(task) for task in spec.references],
        task=None if spec.task is None else _without_thought(spec.task),
        composites=[_without_thought(task) for task in spec.composites],
        seeding=spec.seeding,
    )


def spec_from_pb(message: pb.PromptSpec, field: str) -> PromptSpec:
    return PromptSpec(
        kind=KINDS.from_pb(message.kind, f"{field}.kind"),
        role=ROLES.from_pb(message.role, f"{field}.role"),
        references=tuple(task_from_pb(t, f"{field}.references") for t in message.references),
        task=task_from_pb(message.task, f"{field}.task") if message.HasField("task") else None,
        composites=tuple(task_from_pb(t, f"{field}.composites") for t in message.composites),
        seeding=message.seeding,
    )


def proposal_to_pb(proposal: Proposal) -> pb.Proposal:
    return pb.Proposal(
        proposal_id=proposal.proposal_id,
        kind=KINDS.to_pb(proposal.kind),
        response=proposal.response,
        source=None if proposal.source is None else _without_thought(proposal.source),
        seeding=proposal.seeding,
        composites=[_without_thought(task) for task in proposal.composites],
    )


def proposal_from_pb(message: pb.Proposal, field: str) -> Proposal:
    source = message.source if message.HasField("source") else None
    return Proposal(
        proposal_id=message.proposal_id,
        kind=KINDS.from_pb(message.kind, f"{field}.kind"),
        response=message.response,
        source=None if source is None else task_from_pb(source, f"{field}.source"),
        seeding=message.seeding,
        composites=tuple(task_from_pb(t, f"{field}.composites") for t in message.composites),
    )


def verdict_to_pb(verdict: Verdict) -> pb.Verdict:
    message = pb.Verdict(
        proposal_id=verdict.proposal_id,
        format_ok=verdict.format_ok,
        detail=verdict.detail,
        runs=verdict.runs,
    )
    if verdict.task is not None:
        message.task.CopyFrom(task_to_pb(verdict.task))
    elif verdict.rejection is not None:
        message.rejection = _REJECTIONS.to_pb(verdict.rejection)
    else:
        message.not_executed = verdict.not_executed
    return message


def verdict_from_pb(message: pb.Verdict) -> Verdict:
    verdict = Verdict(
        proposal_id=message.proposal_id,
        format_ok=message.format_ok,
        detail=message.detail,
        runs=dict(message.runs),
    )
    match message.WhichOneof("result"):
        case "task":
            return replace(verdict, task=task_from_pb(message.task, "verdict.task"))
        case "rejection":
            found = _REJECTIONS.from_pb(message.rejection, "verdict.rejection")
            return replace(verdict, rejection=found)
        case _:
            return replace(verdict, not_executed=message.not_executed or "no result was sent")


def solution_to_pb(solution: Solution) -> pb.Solution:
    return pb.Solution(
        solution_id=solution.solution_id,
        task=_without_thought(solution.task),
        response=solution.response,
        require_format=solution.require_format,
    )


def solution_from_pb(message: pb.Solution, field: str) -> Solution:
    if not message.HasField("task"):
        raise invalid(f"{field}.task", "is missing; an answer is judged against its task")
    return Solution(
        solution_id=message.solution_id,
        task=task_from_pb(message.task, f"{field}.task"),
        response=message.response,
        require_format=message.require_format,
    )


def judgement_to_pb(judgement: Judgement) -> pb.Judgement:
    return pb.Judgement(
        solution_id=judgement.solution_id,
        outcome=OUTCOMES.to_pb(judgement.outcome),
        accuracy=judgement.accuracy,
        format_ok=judgement.format_ok,
        detail=judgement.detail,
        runs=judgement.runs,
    )


def judgement_from_pb(message: pb.Judgement) -> Judgement:
    return Judgement(
        solution_id=message.solution_id,
        outcome=OUTCOMES.from_pb(message.outcome, "judgement.outcome"),
        accuracy=message.accuracy,
        format_ok=message.format_ok,
        detail=message.detail,
        runs=dict(message.runs),
    )


def proposer_to_pb(episode: ProposerEpisode) -> pb.ProposerEpisode:
    return pb.ProposerEpisode(
        valid=episode.valid,
        format_ok=episode.format_ok,
        rollout_accuracies=episode.rollout_accuracies,
    )


def proposer_from_pb(message: pb.ProposerEpisode, field: str) -> ProposerEpisode:
    accuracies = tuple(message.rollout_accuracies)
    if not all(0 <= accuracy <= 1 for accuracy in accuracies):
        raise invalid(f"{field}.rollout_accuracies", f"must be in [0, 1], got {list(accuracies)}")
    return ProposerEpisode(
        valid=message.valid, format_ok=message.format_ok, rollout_accuracies=accuracies
    )


def solver_to_pb(episode: SolverEpisode) -> pb.SolverEpisode:
    return pb.SolverEpisode(outcome=OUTCOMES.to_pb(episode.outcome), accuracy=episode.accuracy)


def solver_from_pb(message: pb.SolverEpisode, field: str) -> SolverEpisode:
    if not 0 <= message.accuracy <= 1:
        raise invalid(f"{field}.accuracy", f"must be in [0, 1], got {message.accuracy}")
    return SolverEpisode(
        outcome=OUTCOMES.from_pb(message.outcome, f"{field}.outcome"), accuracy=message.accuracy
    )


def scored_to_pb(scored: Scored) -> pb.Reward:
    return pb.Reward(
        value=scored.value, success_rate=scored.success_rate, learnability=scored.learnability
    )


def scored_from_pb(message: pb.Reward) -> Scored:
    return Scored(
        value=message.value if message.HasField("value") else None,
        success_rate=message.success_rate,
        learnability=message.learnability,
    )


def _without_thought(task: Task) -> task_pb2.Task:
    """Reasoning may be long, and nobody judges it."""
    return task_to_pb(replace(task, thought=""))
