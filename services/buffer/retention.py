"""Removing what old rounds no longer need."""

from collections.abc import Sequence

from sqlalchemy import delete, exists, select, update

from services.buffer import limits, schema
from services.buffer.database import Database
from services.buffer.runs import require_known
from zeroloop.core.rounds import RoundState, Stage


class Retention:
    """Prunes rounds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune(self, run: str, keep_rounds: int) -> int:
        """Remove the stages of all but the newest rounds; return how many it pruned.

        Rewards, summaries and the outcomes of evaluations stay. A round that is open, or whose
        batch is not acknowledged, stays whole. Each round is a transaction of its own.

        Raises:
            NotFoundError: No such run.
        """
        limits.require_run(run)
        limits.require_range("keep_rounds", keep_rounds, 1)
        due = await self._due(run, keep_rounds)
        for round_index in due:
            await self._prune_round(run, round_index)
        if due:
            await self._database.release_pages()
        return len(due)

    async def _due(self, run: str, keep_rounds: int) -> Sequence[int]:
        rounds, batches = schema.rounds.c, schema.batches.c
        newest = (
            select(rounds.round)
            .where(rounds.run == run)
            .order_by(rounds.round.desc())
            .limit(keep_rounds)
        )
        waiting = exists().where(
            batches.run == rounds.run,
            batches.round == rounds.round,
            batches.acknowledged_at_s.is_(None),
        )
        query = (
            select(rounds.round)
            .where(
                rounds.run == run,
                rounds.pruned.is_(False),
                rounds.state != RoundState.OPEN.value,
                rounds.round.not_in(newest),
                ~waiting,
            )
            .order_by(rounds.round)
        )
        async with self._database.reading() as connection:
            await require_known(connection, run)
            return (await connection.execute(query)).scalars().all()

    async def _prune_round(self, run: str, round_index: int) -> None:
        stages, episodes = schema.stages.c, schema.episodes.c
        mine = select(stages.id).where(stages.run == run, stages.round == round_index)
        evaluation = mine.where(stages.stage == Stage.EVALUATE.value)
        async with self._database.writing() as connection:
            await connection.execute(
                delete(schema.episodes).where(
                    episodes.stage_id.in_(mine), episodes.stage_id.not_in(evaluation)
                )
            )
            for table in (schema.verdicts, schema.estimates):
                await connection.execute(delete(table).where(table.c.stage_id.in_(mine)))
            await connection.execute(
                update(schema.episodes)
                .where(episodes.stage_id.in_(evaluation))
                .values(prompt_token_ids=None, token_ids=None, logprobs=None, text=None)
            )
            await connection.execute(
                update(schema.rounds)
                .where(schema.rounds.c.run == run, schema.rounds.c.round == round_index)
                .values(pruned=True)
            )
