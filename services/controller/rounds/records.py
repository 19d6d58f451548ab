"""What a round has stored, without the tokens, which would not fit into memory."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from services.controller.rounds.game import Game, Turn
from zeroloop.core.rounds import (
    Episode,
    EpisodeReward,
    Estimate,
    Record,
    Stage,
    StoredVerdict,
)
from zeroloop.core.tasks import Kind, Outcome, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """One episode without its tokens."""

    stage: Stage
    index: int
    kind: Kind
    role: Role
    prompt_tokens: int
    tokens: int
    finish_reason: str
    task_id: str
    reference_task_ids: tuple[str, ...]
    composite_task_ids: tuple[str, ...]
    outcome: Outcome | None
    accuracy: float
    format_ok: bool


@dataclass
class Records:
    """Everything that the stages of one round say, by index."""

    proposals: dict[int, Facts] = field(default_factory=dict[int, Facts])
    verdicts: dict[int, StoredVerdict] = field(default_factory=dict[int, StoredVerdict])
    estimates: dict[int, Estimate] = field(default_factory=dict[int, Estimate])
    rollouts: dict[int, Facts] = field(default_factory=dict[int, Facts])
    solutions: dict[int, Facts] = field(default_factory=dict[int, Facts])
    rewards: list[EpisodeReward] = field(default_factory=list[EpisodeReward])

    def accuracies(self, index: int) -> tuple[float, ...]:
        """Of the rollouts on proposal `index` whose outcome is known."""
        estimated = self.estimates.get(index)
        if estimated is None:
            return ()
        pairs = zip(estimated.outcomes, estimated.accuracies, strict=True)
        return tuple(a for outcome, a in pairs if outcome is not Outcome.NOT_EXECUTED)

    def episode(self, reward: EpisodeReward) -> Facts:
        """The episode that a reward belongs to."""
        return self._episodes(reward.stage)[reward.index]

    def add(self, stage: Stage, record: Record) -> None:
        """Take note of a record of `stage`."""
        match record:
            case Episode():
                self._episodes(stage)[record.index] = facts_of(stage, record)
            case StoredVerdict():
                self.verdicts[record.index] = record
            case Estimate():
                self.estimates[record.index] = record
            case EpisodeReward():
                self.rewards.append(record)

    def _episodes(self, stage: Stage) -> dict[int, Facts]:
        by_stage = {
            Stage.PROPOSE: self.proposals,
            Stage.ESTIMATE: self.rollouts,
            Stage.SOLVE: self.solutions,
        }
        return by_stage[stage]


def facts_of(stage: Stage, episode: Episode) -> Facts:
    """Return an episode without its tokens."""
    return Facts(
        stage=stage,
        index=episode.index,
        kind=episode.kind,
        role=episode.role,
        prompt_tokens=len(episode.prompt_token_ids),
        tokens=len(episode.token_ids),
        finish_reason=episode.finish_reason,
        task_id=episode.task_id,
        reference_task_ids=episode.reference_task_ids,
        composite_task_ids=episode.composite_task_ids,
        outcome=episode.outcome,
        accuracy=episode.accuracy,
        format_ok=episode.format_ok,
    )


async def read_records(game: Game, turn: Turn, *stages: Stage) -> Records:
    """Return what `stages` of the round have stored."""
    records = Records()
    for stage in stages:
        async with aclosing(stored(game, turn, stage)) as found:
            async for record in found:
                records.add(stage, record)
    return records


def stored(game: Game, turn: Turn, stage: Stage) -> AsyncGenerator[Record]:
    """The records of one stage, in their order."""
    return game.buffer.rounds.get_stage(game.run, turn.round, stage)
