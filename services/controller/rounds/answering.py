"""Answer: generate solutions and judge each as soon as it is there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.controller.metrics import sample_judged
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.generating import generate
from services.controller.rounds.judging import judge
from services.controller.rounds.meter import Tally
from services.controller.rounds.streams import Pipe, together, work_through
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.judging import Judgement, Solution
from zeroloop.core.tasks import Task


@dataclass(frozen=True, slots=True)
class Question:
    """A task to solve, as the model sees it."""

    task: Task
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the model's answers and what became of it."""

    question: int
    """Index of the question."""

    completion: Completion
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class _Written:
    question: int
    completion: Completion

    @property
    def name(self) -> str:
        return f"{self.question}.{self.completion.sample_index}"


async def answer(
    game: Game,
    turn: Turn,
    questions: Sequence[Question],
    sampling: Sampling,
    *,
    require_format: bool,
    tally: Tally,
    note: Callable[[Answer], None],
) -> None:
    """Hand each answer to `note` when it is judged.

    Judging starts with the first answer that is written. At most a few batches of answers
    wait for the judge, so that a slow sandbox slows the engine instead of filling memory.
    """
    limits = game.play.limits
    written: Pipe[_Written] = Pipe(limits.judge_batch_max * (limits.judge_calls_max + 1))

    async def write() -> None:
        async def deliver(index: int, completion: Completion) -> None:
            await written.put(_Written(index, completion))

        prompts = [question.prompt for question in questions]
        await generate(game, turn, prompts, sampling, tally=tally, deliver=deliver)
        await written.close()

    async def read(batch: Sequence[_Written]) -> None:
        by_name = {one.name: one for one in batch}
        solutions = [_solution(questions, one, require_format=require_format) for one in batch]

        def judged(judgement: Judgement) -> None:
            one = by_name[judgement.solution_id]
            sample_judged(questions[one.question].task.kind, judgement.outcome)
            note(Answer(one.question, one.completion, judgement))

        await judge(game, solutions, tally, judged)

    async with together() as group:
        group.create_task(write())
        await work_through(
            written,
            read,
            batch_max=limits.judge_batch_max,
            batches_max=limits.judge_calls_max,
            gather_s=limits.gather_s,
        )


def _solution(questions: Sequence[Question], one: _Written, *, require_format: bool) -> Solution:
    return Solution(
        solution_id=one.name,
        task=questions[one.question].task,
        response=one.completion.text,
        require_format=require_format,
    )
