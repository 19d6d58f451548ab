"""Commit: tasks, observations and the batch, in one transaction."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from services.controller.rounds.estimating import was_too_long
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.measuring import measure
from services.controller.rounds.records import Records
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.rewards import is_admitted, success_rate
from zeroloop.core.rounds import Commit
from zeroloop.core.stored_tasks import BufferFull, Lineage, NewTask, Observation, Origin
from zeroloop.core.tasks import Kind, Outcome, Task


async def commit(game: Game, turn: Turn, records: Records) -> Commit:
    """Commit a round that is trained on."""
    admitted = admissible(game, turn, records)
    joining = Counter(new.task.kind for new in admitted)
    metrics = measure(game, records)
    metrics[figures.ADMITTED] = len(admitted)
    metrics[figures.TASKS] = await _tasks_after(game, joining)
    for kind in game.algorithm.kinds:
        metrics[by_kind(figures.ADMITTED, kind)] = joining[kind]
    return await game.buffer.rounds.commit(
        game.run,
        turn.round,
        tasks=admitted,
        observations=_observations(turn, records),
        metrics=metrics,
        queue_batch=True,
        tasks_max=game.algorithm.buffer_tasks_max,
        buffer_full=BufferFull(game.algorithm.buffer_full),
        reservoir_seed=game.dice("buffer"),
    )


async def commit_seeds(game: Game) -> Commit:
    """Commit round 0, whose tasks are in the buffer already."""
    metrics: dict[str, float] = {}
    for kind in game.algorithm.kinds:
        page = await game.buffer.tasks.list(game.run, kind=kind, page_size=1)
        metrics[by_kind(figures.ADMITTED, kind)] = page.total_tasks
    metrics[figures.ADMITTED] = sum(metrics.values())
    page = await game.buffer.tasks.list(game.run, page_size=1)
    metrics[figures.TASKS] = page.total_tasks
    return await game.buffer.rounds.commit(game.run, 0, metrics=metrics, queue_batch=False)


async def _tasks_after(game: Game, joining: Mapping[Kind, int]) -> int:
    """Tasks in all buffers once `joining` are there; those that make room stay listed."""
    tasks = 0
    for kind in Kind:
        page = await game.buffer.tasks.list(game.run, kind=kind, page_size=1)
        tasks += min(page.total_tasks + joining.get(kind, 0), game.algorithm.buffer_tasks_max)
    return tasks


def admissible(game: Game, turn: Turn, records: Records) -> list[NewTask]:
    """Return the verified tasks that join the buffer, in the order of their proposals."""
    found: list[NewTask] = []
    for index, verdict in sorted(records.verdicts.items()):
        estimated = records.estimates.get(index)
        if verdict.task is None or estimated is None or was_too_long(game, estimated):
            continue
        if game.is_held_out(verdict.task):
            continue
        accuracies = records.accuracies(index)
        rate = success_rate(accuracies) if accuracies else None
        if rate is not None and not is_admitted(rate, game.algorithm.admission):
            continue
        observation = None
        if rate is not None:
            observation = Observation(
                round=turn.round,
                weights_version=turn.weights_version,
                attempts=len(accuracies),
                success_rate=rate,
            )
        found.append(_new_task(game, turn, records, index, verdict.task, observation))
    return found


def _new_task(
    game: Game,
    turn: Turn,
    records: Records,
    index: int,
    task: Task,
    observation: Observation | None,
) -> NewTask:
    proposal = records.proposals[index]
    shown = proposal.reference_task_ids or ((proposal.task_id,) if proposal.task_id else ())
    lineage = Lineage(
        round=turn.round,
        proposed_by_weights=turn.weights_version,
        reference_task_ids=shown,
        composite_task_ids=proposal.composite_task_ids,
        validator=game.provenance.validator,
        image_digest=game.provenance.image_digest,
        origin=Origin.ROUND,
    )
    return NewTask(task=task, lineage=lineage, observation=observation)


def _observations(turn: Turn, records: Records) -> dict[str, Observation]:
    accuracies: dict[str, list[float]] = defaultdict(list)
    for _, facts in sorted(records.solutions.items()):
        if facts.task_id and facts.outcome is not Outcome.NOT_EXECUTED:
            accuracies[facts.task_id].append(facts.accuracy)
    return {
        task_id: Observation(
            round=turn.round,
            weights_version=turn.weights_version,
            attempts=len(known),
            success_rate=success_rate(known),
        )
        for task_id, known in accuracies.items()
    }
