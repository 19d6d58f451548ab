"""Estimate: how often today's solver succeeds at each verified task."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.controller.rounds.answering import Answer, Question, answer
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.meter import Tally
from services.controller.rounds.prompting import are_short, render
from services.controller.rounds.streams import Relay, Source, work_through
from services.controller.steps import Step
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.judging import PromptSpec
from zeroloop.core.rounds import Episode, Estimate, StoredVerdict
from zeroloop.core.tasks import Outcome, Role, Task

TASKS_BATCH_MAX = 16
"""Tasks whose rollouts begin together; small, so that the first begin soon."""

TASKS_BATCHES_MAX = 64
"""Batches in flight; the engine queues what it cannot take."""


@dataclass
class _Rollouts:
    """The answers to one task that are judged so far."""

    index: int
    task: Task
    seed: int
    missing: int
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])
    prompt_token_ids: Sequence[int] = ()


async def estimate(
    game: Game, turn: Turn, verdicts: Source[StoredVerdict], out: Relay[Estimate | Episode]
) -> None:
    """Put the estimate of each verified task into `out`, as they become known.

    With `train_on_mc_rollouts` the rollouts themselves come after each estimate. A task
    whose solver prompt is too long counts as failed once, fewer times than others are tried.
    """
    tally = game.meter.restart(Step.ESTIMATE)

    async def work(batch: Sequence[StoredVerdict]) -> None:
        verified = [(v.index, v.task) for v in batch if v.task is not None]
        await _estimate(game, turn, verified, tally, out)

    await work_through(verdicts, work, batch_max=TASKS_BATCH_MAX, batches_max=TASKS_BATCHES_MAX)


def was_too_long(game: Game, estimated: Estimate) -> bool:
    """Whether a task was not tried, because its solver prompt is too long."""
    return len(estimated.outcomes) < game.algorithm.rollouts


async def _estimate(
    game: Game,
    turn: Turn,
    verified: Sequence[tuple[int, Task]],
    tally: Tally,
    out: Relay[Estimate | Episode],
) -> None:
    specs = [PromptSpec(kind=t.kind, role=Role.SOLVER, task=t) for _, t in verified]
    texts = await render(game, specs)
    short = await are_short(game, turn, texts)
    count = game.algorithm.rollouts
    rollouts: list[_Rollouts] = []
    questions: list[Question] = []
    for (index, task), text, is_short in zip(verified, texts, short, strict=True):
        if not is_short:
            out.put(Estimate(index=index, outcomes=(Outcome.WRONG,), accuracies=(0.0,)))
            continue
        seed = game.dice(turn.round, Step.ESTIMATE, index)
        rollouts.append(_Rollouts(index, task, seed, missing=count))
        questions.append(Question(task, Prompt(text=text, seed=seed)))
    tally.total += count * len(questions)

    def note(given: Answer) -> None:
        _take(game, rollouts[given.question], given, out)

    await answer(
        game, turn, questions, _sampling(game), require_format=False, tally=tally, note=note
    )


def _sampling(game: Game) -> Sampling:
    algorithm = game.algorithm
    return Sampling(
        n=algorithm.rollouts,
        max_tokens=algorithm.response_tokens_max,
        temperature=algorithm.mc_temperature,
        top_p=algorithm.top_p,
        top_k=algorithm.top_k,
        logprobs=algorithm.train_on_mc_rollouts,
    )


def _take(game: Game, rollouts: _Rollouts, given: Answer, out: Relay[Estimate | Episode]) -> None:
    train = game.algorithm.train_on_mc_rollouts
    sample = given.completion.sample_index
    if sample == 0:
        rollouts.prompt_token_ids = given.completion.prompt_token_ids
    rollouts.answers[sample] = given if train else _light(given)
    rollouts.missing -= 1
    if rollouts.missing:
        return
    answers = [rollouts.answers[k] for k in sorted(rollouts.answers)]
    outcomes = tuple(a.judgement.outcome for a in answers)
    accuracies = tuple(a.judgement.accuracy for a in answers)
    out.put(Estimate(index=rollouts.index, outcomes=outcomes, accuracies=accuracies))
    if train:
        for answered in answers:
            out.put(_episode(rollouts, answered, game.algorithm.rollouts))


def _light(given: Answer) -> Answer:
    """Without the tokens, of which a large round has more than fit into memory."""
    completion = given.completion
    bare = Completion(
        prompt_index=completion.prompt_index,
        sample_index=completion.sample_index,
        text="",
        token_ids=(),
    )
    return Answer(given.question, bare, given.judgement)


def _episode(rollouts: _Rollouts, given: Answer, count: int) -> Episode:
    completion, judgement = given.completion, given.judgement
    sample = completion.sample_index
    return Episode(
        index=rollouts.index * count + sample,
        kind=rollouts.task.kind,
        role=Role.SOLVER,
        prompt_token_ids=rollouts.prompt_token_ids,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        text=completion.text,
        finish_reason=completion.finish_reason,
        weights_version=completion.weights_version,
        seed=rollouts.seed + sample,
        outcome=judgement.outcome,
        accuracy=judgement.accuracy,
        format_ok=judgement.format_ok,
        proposal_index=rollouts.index,
    )
