"""Serves `RewardService` from domain plugins and an executor. It translates and decides nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc.aio
from opentelemetry import metrics, trace

from services._server import instruments, semconv
from services.reward.domains.base import DomainPlugin, Executor
from services.reward.finishing import SLICE, as_finished
from services.reward.runs import RetryPolicy, RunPool
from zeroloop.client import _reward_wire as wire
from zeroloop.core.execution import Limits
from zeroloop.core.judging import (
    PROPOSALS_MAX,
    SOLUTIONS_MAX,
    SPECS_MAX,
    Judgement,
    Proposal,
    Scored,
    Solution,
    Verdict,
)
from zeroloop.core.scoring import score_answer, score_proposal
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.errors import invalid
from zeroloop.reward.v1 import reward_pb2 as pb
from zeroloop.reward.v1 import reward_pb2_grpc as stubs

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_REWARDS = instruments.counter(metrics.get_meter("zeroloop.reward"), semconv.METRIC_REWARDS)


class RewardServicer(stubs.RewardServiceServicer):
    """See `reward.proto`."""

    def __init__(
        self, domains: Mapping[str, DomainPlugin], executor: Executor, policy: RetryPolicy
    ) -> None:
        self._domains = domains
        self._executor = executor
        self._policy = policy

    async def ListDomains(
        self, request: pb.ListDomainsRequest, context: Context
    ) -> pb.ListDomainsResponse:
        return pb.ListDomainsResponse(
            domains=[wire.domain_to_pb(domain.about) for domain in self._domains.values()]
        )

    async def BuildPrompts(
        self, request: pb.BuildPromptsRequest, context: Context
    ) -> pb.BuildPromptsResponse:
        _bound("specs", request.specs, SPECS_MAX)
        domain, settings = self._context(request.context)
        prompts: list[str] = []
        for index, message in enumerate(request.specs):
            spec = wire.spec_from_pb(message, f"specs[{index}]")
            prompts.append(domain.build_prompt(spec, settings))
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        return pb.BuildPromptsResponse(prompts=prompts)

    async def ValidateProposals(
        self, request: pb.ValidateProposalsRequest, context: Context
    ) -> AsyncIterator[pb.ValidateProposalsResponse]:
        _bound("proposals", request.proposals, PROPOSALS_MAX)
        domain, settings = self._context(request.context)
        proposals = [
            wire.proposal_from_pb(message, f"proposals[{index}]")
            for index, message in enumerate(request.proposals)
        ]
        async with self._pool(settings) as pool:

            async def validate(proposal: Proposal) -> Verdict:
                return await domain.validate(proposal, settings, pool)

            async with aclosing(as_finished(validate, proposals)) as verdicts:
                async for verdict in verdicts:
                    yield pb.ValidateProposalsResponse(verdict=wire.verdict_to_pb(verdict))

    async def JudgeSolutions(
        self, request: pb.JudgeSolutionsRequest, context: Context
    ) -> AsyncIterator[pb.JudgeSolutionsResponse]:
        async with aclosing(self._judge(request.context, request.solutions)) as judgements:
            async for judgement in judgements:
                yield pb.JudgeSolutionsResponse(judgement=wire.judgement_to_pb(judgement))

    async def Rescore(
        self, request: pb.RescoreRequest, context: Context
    ) -> AsyncIterator[pb.RescoreResponse]:
        async with aclosing(self._judge(request.context, request.solutions)) as judgements:
            async for judgement in judgements:
                yield pb.RescoreResponse(judgement=wire.judgement_to_pb(judgement))

    async def ComputeRewards(
        self, request: pb.ComputeRewardsRequest, context: Context
    ) -> pb.ComputeRewardsResponse:
        _, settings = self._context(request.context)
        proposer = [
            score_proposal(wire.proposer_from_pb(message, f"proposer[{index}]"), settings)
            for index, message in enumerate(request.proposer)
        ]
        solver = [
            score_answer(wire.solver_from_pb(message, f"solver[{index}]"))
            for index, message in enumerate(request.solver)
        ]
        _record("proposer", proposer)
        _record("solver", solver)
        return pb.ComputeRewardsResponse(
            proposer=[wire.scored_to_pb(scored) for scored in proposer],
            solver=[wire.scored_to_pb(scored) for scored in solver],
        )

    async def _judge(
        self, about: pb.Context, messages: Sequence[pb.Solution]
    ) -> AsyncGenerator[Judgement]:
        _bound("solutions", messages, SOLUTIONS_MAX)
        domain, settings = self._context(about)
        solutions = [
            wire.solution_from_pb(message, f"solutions[{index}]")
            for index, message in enumerate(messages)
        ]
        async with self._pool(settings) as pool:

            async def judge(solution: Solution) -> Judgement:
                return await domain.judge(solution, settings, pool)

            async with aclosing(as_finished(judge, solutions)) as judgements:
                async for judgement in judgements:
                    yield judgement

    def _context(self, message: pb.Context) -> tuple[DomainPlugin, AlgorithmSettings]:
        name = message.domain or "code"
        if name not in self._domains:
            known = ", ".join(self._domains)
            raise invalid("context.domain", f"must be one of {known}, got {name!r}")
        return self._domains[name], wire.settings_from_pb(message)

    def _pool(self, settings: AlgorithmSettings) -> RunPool:
        return RunPool(self._executor, Limits(cpu_time_s=settings.cpu_limit_s), self._policy)


def _bound(field: str, items: Sequence[object], count_max: int) -> None:
    if len(items) > count_max:
        raise invalid(field, f"must have at most {count_max} items, got {len(items)}")
    trace.get_current_span().set_attribute(semconv.BATCH_SIZE, len(items))


def _record(role: str, scored: Sequence[Scored]) -> None:
    for one in scored:
        if one.value is not None:
            value = f"{one.value:.1f}"
            _REWARDS.add(1, {semconv.REWARD_KIND: role, semconv.REWARD_VALUE: value})
