"""Seed: from one hand-written task to buffers that a first round can be played from.

The base model proposes, examples are drawn from what it has proposed so far, and nothing is
trained. Layout tags are not required of seeds. Source: docs/reference/algorithm.md, seeding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.controller.rounds.asking import patiently
from services.controller.rounds.dice import dice
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.generating import generate
from services.controller.rounds.meter import Tally
from services.controller.rounds.prompting import are_short, render
from services.controller.rounds.proposing import PROGRAM_KINDS
from services.controller.rounds.streams import Relay, together, work_through
from services.controller.rounds.validating import ask_verdicts
from services.controller.rounds.zero import zero_task
from services.controller.steps import Step
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.judging import PromptSpec, Proposal, Verdict
from zeroloop.core.stored_tasks import Lineage, NewTask, Origin
from zeroloop.core.tasks import Case, Kind, Role, Task
from zeroloop.errors import FailedPreconditionError

BARREN_MAX = 8
"""Passes in a row that may bring no seed at all. With more this model will not bring any."""

Content = tuple[str, tuple[str, ...], tuple[Case, ...], str]


@dataclass(frozen=True, slots=True)
class _Asked:
    spec: PromptSpec
    seed: int


async def seed(game: Game, turn: Turn) -> None:
    """Admit the seeds of every buffer, once.

    Raises:
        FailedPreconditionError: The model fills less than a round's worth of a buffer.
    """
    tally = game.meter.restart(Step.SEED)
    target = game.algorithm.group_seeds
    tally.total = target * (1 + (Kind.INDUCTION in game.algorithm.kinds))
    programs = await _seed_programs(game, turn, target, tally)
    for kind in PROGRAM_KINDS:
        tasks = [replace(task, kind=kind) for task in programs]
        await _admit(game, turn, kind, tasks)
    if Kind.INDUCTION in game.algorithm.kinds:
        inductions = await _seed_inductions(game, turn, programs, target, tally)
        await _admit(game, turn, Kind.INDUCTION, inductions)


async def is_seeded(game: Game) -> bool:
    """Whether the seeds are admitted: the last kind's come last."""
    last = Kind.INDUCTION if Kind.INDUCTION in game.algorithm.kinds else PROGRAM_KINDS[-1]
    page = await game.buffer.tasks.list(game.run, kind=last, page_size=1)
    return page.total_tasks > 0


async def _seed_programs(game: Game, turn: Turn, target: int, tally: Tally) -> list[Task]:
    """The seeds that abduction and deduction share.

    Both kinds are asked for at once: their examples are the seeds of the passes before.
    """
    found = [zero_task(Kind.DEDUCTION)]
    for attempt in range(game.play.limits.seed_attempts_max):
        if len(found) >= target or (attempt >= BARREN_MAX and len(found) == 1):
            break
        asked = [
            one for kind in PROGRAM_KINDS for one in _ask_for_programs(game, kind, found, attempt)
        ]
        known = {_content(task) for task in found}
        tasks = await _propose(game, turn, asked, tally)
        found += [task for task in tasks if _content(task) not in known]
        tally.done = min(len(found), target)
    return _enough(game, "program", found[:target])


def _ask_for_programs(game: Game, kind: Kind, found: Sequence[Task], attempt: int) -> list[_Asked]:
    rng = dice(game.seed, Step.SEED, kind, "references", attempt)
    count = min(game.algorithm.references, len(found))
    count = count if game.algorithm.include_references else 0
    return [
        _Asked(
            PromptSpec(
                kind=kind,
                role=Role.PROPOSER,
                references=tuple(replace(t, kind=kind) for t in rng.sample(found, count)),
                seeding=True,
            ),
            game.dice(Step.SEED, kind, attempt, index),
        )
        for index in range(game.algorithm.samples_per_group)
    ]


async def _seed_inductions(
    game: Game, turn: Turn, programs: Sequence[Task], target: int, tally: Tally
) -> list[Task]:
    """One proposal per program and pass, all at once: they do not depend on each other."""
    found = [zero_task(Kind.INDUCTION)]
    for attempt in range(game.play.limits.seed_attempts_max):
        if len(found) >= target or (attempt >= BARREN_MAX and len(found) == 1):
            break
        asked = [
            _Asked(
                PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=program, seeding=True),
                game.dice(Step.SEED, Kind.INDUCTION, attempt, index),
            )
            for index, program in enumerate(programs)
        ]
        found += await _propose(game, turn, asked, tally)
        tally.done = target + min(len(found), target)
    return _enough(game, "induction", found[:target])


async def _propose(game: Game, turn: Turn, asked: Sequence[_Asked], tally: Tally) -> list[Task]:
    """Return the valid tasks among the answers, in the order of the questions.

    Answers are validated as they come.
    """
    texts = await render(game, [one.spec for one in asked])
    short = await are_short(game, turn, texts)
    kept = [(one, text) for one, text, ok in zip(asked, texts, short, strict=True) if ok]
    replies: Relay[tuple[int, Completion]] = Relay()

    async def write() -> None:
        async def deliver(index: int, completion: Completion) -> None:
            replies.put((index, completion))

        prompts = [Prompt(text=text, seed=one.seed) for one, text in kept]
        await generate(game, turn, prompts, _sampling(game), tally=tally, deliver=deliver)
        replies.close()

    found: dict[int, Task] = {}
    inner = Tally()  # Progress of seeding counts seeds, not proposals.

    def note(verdict: Verdict) -> None:
        if verdict.task is not None and not game.is_held_out(verdict.task):
            found[int(verdict.proposal_id)] = verdict.task

    async def read(batch: Sequence[tuple[int, Completion]]) -> None:
        proposals = [_proposal(index, kept[index][0], completion) for index, completion in batch]
        await ask_verdicts(game, proposals, inner, note)

    limits = game.play.limits
    async with together() as group:
        group.create_task(write())
        await work_through(
            replies.reader(),
            read,
            batch_max=limits.judge_batch_max,
            batches_max=limits.validate_calls_max,
            gather_s=limits.gather_s,
        )
    tally.count_runs(inner.runs)
    tally.not_executed += inner.not_executed
    return [found[index] for index in sorted(found)]


def _proposal(index: int, asked: _Asked, completion: Completion) -> Proposal:
    return Proposal(
        proposal_id=str(index),
        kind=asked.spec.kind,
        response=completion.text,
        source=asked.spec.task,
        seeding=True,
    )


def _sampling(game: Game) -> Sampling:
    algorithm = game.algorithm.for_seeding()
    return Sampling(
        max_tokens=algorithm.response_tokens_max,
        temperature=algorithm.temperature,
        top_p=algorithm.top_p,
        top_k=algorithm.top_k,
    )


def _enough(game: Game, what: str, found: list[Task]) -> list[Task]:
    needed = game.algorithm.samples_per_group
    if len(found) < needed:
        raise FailedPreconditionError(
            f"the model proposed {len(found) - 1} valid {what} seeds, and {needed - 1} are needed "
            "at least; check prompt_style and num_inputs, raise limits.seed_attempts_max, or "
            "choose another model"
        )
    return found


async def _admit(game: Game, turn: Turn, kind: Kind, tasks: Sequence[Task]) -> None:
    zero = _content(zero_task(kind))
    new = [
        NewTask(
            task=task,
            lineage=Lineage(
                round=0,
                proposed_by_weights=turn.weights_version,
                validator=game.provenance.validator,
                image_digest=game.provenance.image_digest,
                origin=Origin.ZERO if _content(task) == zero else Origin.SEED,
            ),
        )
        for task in tasks
    ]
    await patiently(
        lambda: game.buffer.tasks.admit(game.run, new, request_id=f"{game.run}/seeds/{kind}"),
        game.patience(),
    )


def _content(task: Task) -> Content:
    return (task.program, task.imports, task.cases, task.message)
