"""Turning the stored stages of a round into a batch, as a step of its commit."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.buffer import schema
from services.buffer.stages import stored_stages
from zeroloop.core.rounds import BATCH_STAGES, Stage
from zeroloop.core.tasks import Outcome
from zeroloop.errors import FailedPreconditionError


async def queue_batch(connection: AsyncConnection, run: str, round_index: int) -> None:
    """Queue what the stored rewards refer to. Episodes are not copied.

    Raises:
        FailedPreconditionError: A stage is missing, there are no rewards, or a reward belongs
            to no stored episode, or to one whose outcome the platform failed to find out.
    """
    place = f"run {run!r} round {round_index}"
    stored = await stored_stages(connection, run, round_index)
    if missing := [stage.value for stage in BATCH_STAGES if stage not in stored]:
        raise FailedPreconditionError(
            f"{place}: a batch needs every stage stored, if only with no records; "
            f"missing: {', '.join(missing)}"
        )
    counts = await _counts(connection, run, round_index)
    if counts.rewards == 0:
        raise FailedPreconditionError(
            f"{place}: there are no rewards, so nothing to train on; commit without a batch"
        )
    if counts.episodes != counts.rewards:
        raise FailedPreconditionError(
            f"{place}: {counts.rewards - counts.episodes} of {counts.rewards} rewards belong to no "
            "stored episode"
        )
    if counts.not_executed:
        raise FailedPreconditionError(
            f"{place}: {counts.not_executed} rewards belong to episodes whose outcome is "
            f"{Outcome.NOT_EXECUTED}; a failure of the platform must not be trained on"
        )
    await connection.execute(
        schema.batches.insert().values(
            run=run,
            round=round_index,
            sequences=counts.rewards,
            response_tokens=counts.tokens,
            attempt=0,
        )
    )


async def _counts(connection: AsyncConnection, run: str, round_index: int) -> Any:
    """Count the rewards of a round and the episodes that they belong to."""
    episodes = schema.episodes.c
    not_executed = episodes.outcome == Outcome.NOT_EXECUTED.value
    query = (
        select(
            func.count().label("rewards"),
            func.count(episodes.position).label("episodes"),
            func.count().filter(not_executed).label("not_executed"),
            func.coalesce(func.sum(episodes.num_tokens), 0).label("tokens"),
        )
        .select_from(rewarded_episodes())
        .where(*of_round(run, round_index))
    )
    return (await connection.execute(query)).one()


_REWARD_STAGE = schema.stages.alias("reward_stage")
_EPISODE_STAGE = schema.stages.alias("episode_stage")


def rewarded_episodes() -> FromClause:
    """Rewards joined with the episodes of the same round that earned them."""
    rewards, episodes = schema.rewards.c, schema.episodes.c
    mine, other = _REWARD_STAGE.c, _EPISODE_STAGE.c
    return (
        schema.rewards.join(_REWARD_STAGE, mine.id == rewards.stage_id)
        .outerjoin(
            _EPISODE_STAGE,
            and_(
                other.run == mine.run,
                other.round == mine.round,
                other.stage == rewards.episode_stage,
            ),
        )
        .outerjoin(
            schema.episodes,
            and_(episodes.stage_id == other.id, episodes.episode_index == rewards.episode_index),
        )
    )


def of_round(run: str, round_index: int) -> tuple[ColumnElement[bool], ...]:
    """The condition that picks one round's rewards from `rewarded_episodes`."""
    mine = _REWARD_STAGE.c
    return mine.run == run, mine.round == round_index, mine.stage == Stage.REWARD.value
