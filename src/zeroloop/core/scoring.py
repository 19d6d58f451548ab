"""From outcomes to the reward of each episode, or to none."""

from zeroloop.core.judging import ProposerEpisode, Scored, SolverEpisode
from zeroloop.core.rewards import (
    is_graded,
    learnability,
    proposer_reward,
    solver_reward,
    success_rate,
)
from zeroloop.core.settings import AlgorithmSettings


def score_proposal(episode: ProposerEpisode, settings: AlgorithmSettings) -> Scored:
    """Reward one proposal; none if it is a task whose every rollout the platform lost."""
    if not episode.valid:
        return Scored(
            value=proposer_reward(valid=False, format_ok=False, rate=None, settings=settings)
        )
    accuracies = episode.rollout_accuracies
    rate = success_rate(accuracies) if accuracies else None
    if rate is None and episode.format_ok:
        return Scored(value=None)
    value = proposer_reward(valid=True, format_ok=episode.format_ok, rate=rate, settings=settings)
    if rate is None:
        return Scored(value=value)
    gain = learnability(rate, settings.accuracy_conversion)
    return Scored(value=value, success_rate=rate, learnability=gain)


def score_answer(episode: SolverEpisode) -> Scored:
    """Reward one answer; none if the platform failed to judge it."""
    outcome = episode.outcome
    if not is_graded(outcome):
        return Scored(value=None)
    return Scored(value=solver_reward(outcome, episode.accuracy))
