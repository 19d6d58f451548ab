"""Typed client of the Reward service: prompts, verdicts, judgements, rewards."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from zeroloop.client import _reward_wire as wire
from zeroloop.client._streams import in_turn, read_all
from zeroloop.client.channel import DEADLINE_S, STREAM_DEADLINE_S, translate_errors
from zeroloop.core.judging import (
    PROPOSALS_MAX,
    SOLUTIONS_MAX,
    SPECS_MAX,
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
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.reward.v1 import reward_pb2 as pb
from zeroloop.reward.v1 import reward_pb2_grpc as stubs

__all__ = ["RewardClient"]

M = TypeVar("M", bound=Message)

REQUEST_BYTES_MAX = 16 * 1024 * 1024
"""What one request carries; more travels as several, one after the other."""


class RewardClient:
    """Calls `RewardService` on an open channel, for one domain under one run's settings.

    A failed platform is never a verdict: it is `Verdict.not_executed` or the outcome
    `NOT_EXECUTED`, and has no reward. Any number of items may be handed over; requests are
    split at their limits.

    Every method raises errors of `zeroloop.errors` alone: `InvalidRequestError` for an unknown
    domain, style or option, `UnavailableError` if the service is down. All calls may be
    repeated.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        settings: AlgorithmSettings = PAPER,
        *,
        domain: str = "code",
    ) -> None:
        self._stub = stubs.RewardServiceStub(channel)
        self._context = wire.context_to_pb(domain, settings)

    async def list_domains(self) -> list[Domain]:
        """What the service can judge."""
        with translate_errors():
            response = await self._stub.ListDomains(pb.ListDomainsRequest(), timeout=DEADLINE_S)
        return [wire.domain_from_pb(domain) for domain in response.domains]

    async def build_prompts(self, specs: Sequence[PromptSpec]) -> list[str]:
        """Render prompts, aligned with `specs`, each ending with the forced `<think>`."""
        prompts: list[str] = []
        for chunk in _chunks(specs, wire.spec_to_pb, SPECS_MAX):
            request = pb.BuildPromptsRequest(context=self._context, specs=chunk)
            with translate_errors():
                response = await self._stub.BuildPrompts(request, timeout=DEADLINE_S)
            prompts += response.prompts
        return prompts

    def validate(
        self, proposals: Sequence[Proposal], *, deadline_s: float = STREAM_DEADLINE_S
    ) -> AsyncGenerator[Verdict]:
        """Parse and run proposals; iterate over the verdicts as they are known, in any order."""
        requests = (
            pb.ValidateProposalsRequest(context=self._context, proposals=chunk)
            for chunk in _chunks(proposals, wire.proposal_to_pb, PROPOSALS_MAX)
        )
        return in_turn(
            read_all(partial(self._stub.ValidateProposals, request, timeout=deadline_s), _verdict)
            for request in requests
        )

    def judge(
        self, solutions: Sequence[Solution], *, deadline_s: float = STREAM_DEADLINE_S
    ) -> AsyncGenerator[Judgement]:
        """Judge answers; iterate over the judgements as they are known, in any order."""
        requests = (
            pb.JudgeSolutionsRequest(context=self._context, solutions=chunk)
            for chunk in _chunks(solutions, wire.solution_to_pb, SOLUTIONS_MAX)
        )
        return in_turn(
            read_all(partial(self._stub.JudgeSolutions, request, timeout=deadline_s), _judgement)
            for request in requests
        )

    def rescore(
        self, solutions: Sequence[Solution], *, deadline_s: float = STREAM_DEADLINE_S
    ) -> AsyncGenerator[Judgement]:
        """Judge stored answers again, after a fix of the validator."""
        requests = (
            pb.RescoreRequest(context=self._context, solutions=chunk)
            for chunk in _chunks(solutions, wire.solution_to_pb, SOLUTIONS_MAX)
        )
        return in_turn(
            read_all(partial(self._stub.Rescore, request, timeout=deadline_s), _judgement)
            for request in requests
        )

    async def compute(
        self, proposer: Sequence[ProposerEpisode], solver: Sequence[SolverEpisode]
    ) -> tuple[list[Scored], list[Scored]]:
        """Return the reward of each episode, aligned with the arguments."""
        request = pb.ComputeRewardsRequest(
            context=self._context,
            proposer=[wire.proposer_to_pb(episode) for episode in proposer],
            solver=[wire.solver_to_pb(episode) for episode in solver],
        )
        with translate_errors():
            response = await self._stub.ComputeRewards(request, timeout=DEADLINE_S)
        return (
            [wire.scored_from_pb(reward) for reward in response.proposer],
            [wire.scored_from_pb(reward) for reward in response.solver],
        )


def _verdict(response: Any) -> Verdict:
    return wire.verdict_from_pb(response.verdict)


def _judgement(response: Any) -> Judgement:
    return wire.judgement_from_pb(response.judgement)


V = TypeVar("V")


def _chunks(items: Sequence[V], convert: Callable[[V], M], count_max: int) -> Iterator[list[M]]:
    """Messages for `items` in parts that respect both limits of a request."""
    chunk: list[M] = []
    size_bytes = 0
    for item in items:
        message = convert(item)
        message_bytes = message.ByteSize()
        if chunk and (len(chunk) == count_max or size_bytes + message_bytes > REQUEST_BYTES_MAX):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(message)
        size_bytes += message_bytes
    if chunk:
        yield chunk
