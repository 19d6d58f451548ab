"""Validate: turn proposals into verified tasks, or say why not."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from services.controller.rounds.asking import REPEATS_MAX, ask_each
from services.controller.rounds.game import Game
from services.controller.rounds.meter import Tally
from services.controller.rounds.sources import Sources
from services.controller.rounds.streams import Relay, Source, work_through
from services.controller.steps import Step
from zeroloop.core.judging import Proposal, Verdict
from zeroloop.core.rounds import Episode, StoredVerdict
from zeroloop.core.tasks import Kind, Task


async def validate(
    game: Game, sources: Sources, proposals: Source[Episode], out: Relay[StoredVerdict]
) -> None:
    """Put the verdict on each proposal into `out`, as they become known."""
    tally = game.meter.restart(Step.VALIDATE)

    async def work(batch: Sequence[Episode]) -> None:
        tally.total += len(batch)
        asked = [
            Proposal(
                proposal_id=str(episode.index),
                kind=episode.kind,
                response=episode.text,
                source=await _source(sources, episode),
                composites=tuple([await sources.get(name) for name in episode.composite_task_ids]),
            )
            for episode in batch
        ]
        await ask_verdicts(game, asked, tally, lambda v: out.put(_stored(v)))

    limits = game.play.limits
    await work_through(
        proposals,
        work,
        batch_max=limits.judge_batch_max,
        batches_max=limits.validate_calls_max,
        gather_s=limits.gather_s,
    )


async def ask_verdicts(
    game: Game, proposals: Sequence[Proposal], tally: Tally, note: Callable[[Verdict], None]
) -> None:
    """Hand each proposal's verdict to `note`, once.

    Proposals that the platform failed on are tried again a few times.
    """
    tries: Counter[str] = Counter()

    async def call(pending: Sequence[Proposal]) -> AsyncGenerator[Verdict]:
        with game.meter.sandbox():
            async with aclosing(game.reward.validate(pending)) as verdicts:
                async for verdict in verdicts:
                    yield verdict

    def answered(verdict: Verdict) -> str | None:
        name = verdict.proposal_id
        tally.count_runs(verdict.runs)
        tries[name] += 1
        if verdict.not_executed and tries[name] < REPEATS_MAX:
            return None
        tally.done += 1
        tally.not_executed += bool(verdict.not_executed)
        note(verdict)
        return name

    pending = {proposal.proposal_id: proposal for proposal in proposals}
    await ask_each(pending, call, answered=answered, patience=game.patience())


async def _source(sources: Sources, episode: Episode) -> Task | None:
    return await sources.get(episode.task_id) if episode.kind is Kind.INDUCTION else None


def _stored(verdict: Verdict) -> StoredVerdict:
    return StoredVerdict(
        index=int(verdict.proposal_id),
        task=verdict.task,
        rejection=verdict.rejection or "",
        not_executed=verdict.not_executed,
        format_ok=verdict.format_ok,
        detail=verdict.detail,
    )
