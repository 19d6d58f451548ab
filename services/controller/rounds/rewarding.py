"""Reward: what each episode earned, and what its tokens weigh in the loss."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.controller.rounds.asking import patiently
from services.controller.rounds.game import Game
from services.controller.rounds.records import Facts, Records
from zeroloop.core.advantages import batch_signals
from zeroloop.core.judging import ProposerEpisode, SolverEpisode
from zeroloop.core.rounds import EpisodeReward
from zeroloop.core.tasks import Outcome, Role


@dataclass(frozen=True, slots=True)
class _Earned:
    facts: Facts
    reward: float


async def reward(game: Game, records: Records) -> list[EpisodeReward]:
    """Return the rewards of the round's batch, in batch order.

    The order is that of the groups, proposer and solver of each kind in turn, and within a
    group that of the episodes. Episodes that the platform failed on have no reward and are
    not part of it; neither are those without a single token.
    """
    earned = [*await _proposers(game, records), *await _solvers(game, records)]
    kinds = game.algorithm.kinds
    roles = (Role.PROPOSER, Role.SOLVER)
    batch = [
        one
        for kind in kinds
        for role in roles
        for one in earned
        if one.facts.kind is kind and one.facts.role is role and one.facts.tokens > 0
    ]
    signals = batch_signals(
        [(one.facts.kind, one.facts.role) for one in batch],
        [one.reward for one in batch],
        [one.facts.tokens for one in batch],
        norm=game.algorithm.advantage_norm,
        loss_mean=game.algorithm.loss_mean,
        chunk=game.algorithm.loss_chunk_sequences,
    )
    return [
        EpisodeReward(
            stage=one.facts.stage,
            index=one.facts.index,
            reward=one.reward,
            advantage=signal.advantage,
            token_weight=signal.weight,
        )
        for one, signal in zip(batch, signals, strict=True)
    ]


async def _proposers(game: Game, records: Records) -> list[_Earned]:
    if not game.algorithm.train_propose:
        return []
    judged = [
        (records.proposals[index], verdict)
        for index, verdict in sorted(records.verdicts.items())
        if not verdict.not_executed
    ]
    episodes = [
        ProposerEpisode(
            valid=verdict.task is not None,
            format_ok=verdict.format_ok,
            rollout_accuracies=records.accuracies(facts.index),
        )
        for facts, verdict in judged
    ]
    scored, _ = await patiently(lambda: game.reward.compute(episodes, ()), game.patience())
    pairs = zip(judged, scored, strict=True)
    return [_Earned(facts, s.value) for (facts, _), s in pairs if s.value is not None]


async def _solvers(game: Game, records: Records) -> list[_Earned]:
    solved = [records.solutions[index] for index in sorted(records.solutions)]
    solved += [records.rollouts[index] for index in _trained_rollouts(game, records)]
    known = [facts for facts in solved if facts.outcome is not Outcome.NOT_EXECUTED]
    episodes = [_solver_episode(game, facts) for facts in known]
    _, scored = await patiently(lambda: game.reward.compute((), episodes), game.patience())
    pairs: Sequence[tuple[Facts, float | None]] = [
        (facts, s.value) for facts, s in zip(known, scored, strict=True)
    ]
    return [_Earned(facts, value) for facts, value in pairs if value is not None]


def _trained_rollouts(game: Game, records: Records) -> list[int]:
    """Rollouts that are trained on, in order: those on held-out programs are not."""
    heldout = {
        index
        for index, verdict in records.verdicts.items()
        if verdict.task is not None and game.is_held_out(verdict.task)
    }
    return [i for i in sorted(records.rollouts) if i // game.algorithm.rollouts not in heldout]


def _solver_episode(game: Game, facts: Facts) -> SolverEpisode:
    assert facts.outcome is not None
    # Rollouts are judged by their answer alone; what is trained on must keep the layout too.
    if game.algorithm.format_reward and not facts.format_ok:
        return SolverEpisode(outcome=Outcome.MALFORMED, accuracy=0.0)
    return SolverEpisode(outcome=facts.outcome, accuracy=facts.accuracy)
