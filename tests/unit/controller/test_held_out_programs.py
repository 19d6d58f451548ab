"""What the model is evaluated on it does not learn to solve, though it may propose it."""

import ast
from dataclasses import replace

import pytest

from services.controller.rounds.game import Game, HeldOut
from tests.unit.controller.test_engine import SMALL, World
from zeroloop.core import figures
from zeroloop.core.rounds import Episode, EpisodeReward, Stage, StoredVerdict
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Task


class Evaluated(World):
    """A run that is evaluated on the given programs."""

    programs: tuple[str, ...] = ()

    def game(self) -> Game:
        return replace(super().game(), heldout=[held_out(program) for program in self.programs])


def held_out(program: str) -> HeldOut:
    """The same program in other words: another layout, and a comment."""
    text = ast.unparse(ast.parse(program)) + "  # the same"
    task = Task(domain="code", kind=Kind.DEDUCTION, program=text, cases=(Case("7", "7"),))
    return HeldOut(name=program, task=task)


async def played(settings: AlgorithmSettings = SMALL, *programs: str) -> Evaluated:
    world = Evaluated(settings)
    world.programs = programs
    for index in range(2):
        await world.play_round(index)
    return world


def proposed(world: World) -> list[Task]:
    verdicts = [r for r in world.records(1, Stage.VALIDATE) if isinstance(r, StoredVerdict)]
    return [v.task for v in verdicts if v.task is not None and v.task.kind is not Kind.INDUCTION]


def programs_of(world: World, since: int) -> set[str]:
    stored = world.buffer.tasks.stored
    return {one.task.program for one in stored if one.lineage.round >= since}


async def test_a_held_out_program_is_rewarded_but_not_admitted() -> None:
    before = await played()
    program = proposed(before)[0].program
    assert program in programs_of(before, since=1)

    world = await played(SMALL, program)

    assert program not in programs_of(world, since=1)
    assert programs_of(world, since=1) == programs_of(before, since=1) - {program}
    assert world.records(1, Stage.REWARD) == before.records(1, Stage.REWARD)
    metrics = world.buffer.rounds.rounds[1].metrics
    dropped = metrics[figures.HELDOUT_PROPOSED]
    assert dropped >= 1
    assert metrics[figures.ADMITTED] == metrics[figures.VALID] - dropped
    assert metrics[figures.TASKS] == len(world.buffer.tasks.stored)


async def test_without_evaluation_nothing_is_held_out() -> None:
    world = await played()

    metrics = world.buffer.rounds.rounds[1].metrics
    assert metrics[figures.HELDOUT_PROPOSED] == 0
    assert metrics[figures.ADMITTED] == metrics[figures.VALID]


async def test_no_seed_is_a_held_out_program() -> None:
    before = await played()
    seeds = [s.task.program for s in before.buffer.tasks.stored if s.lineage.origin == "seed"]

    world = await played(SMALL, seeds[0])

    assert seeds[0] not in programs_of(world, since=0)


async def test_a_held_out_program_is_not_solved_in_the_step_that_proposed_it() -> None:
    settings = replace(SMALL, same_step_tasks=True)
    before = await played(settings)
    solved = [r for r in before.records(1, Stage.SOLVE) if isinstance(r, Episode) and not r.task_id]
    verdicts = {r.index: r for r in before.records(1, Stage.VALIDATE)}
    verdict = verdicts[solved[0].proposal_index]
    assert isinstance(verdict, StoredVerdict)
    assert verdict.task is not None

    world = await played(settings, verdict.task.program)

    after = [r for r in world.records(1, Stage.SOLVE) if isinstance(r, Episode) and not r.task_id]
    same = {
        r.index
        for r in world.records(1, Stage.VALIDATE)
        if isinstance(r, StoredVerdict) and r.task and r.task.program == verdict.task.program
    }
    assert same
    assert not {r.proposal_index for r in after} & same


async def test_rollouts_on_a_held_out_program_are_not_trained_on() -> None:
    settings = replace(SMALL, train_on_mc_rollouts=True)
    program = proposed(await played(settings))[0].program

    world = await played(settings, program)

    heldout = {
        r.index
        for r in world.records(1, Stage.VALIDATE)
        if isinstance(r, StoredVerdict) and r.task and r.task.program == program
    }
    trained = {
        r.index // SMALL.rollouts
        for r in world.records(1, Stage.REWARD)
        if isinstance(r, EpisodeReward) and r.stage is Stage.ESTIMATE
    }
    assert heldout
    assert trained
    assert not trained & heldout


@pytest.mark.parametrize("broken", ["def f(", "\\0", "f(" * 500])
async def test_a_held_out_text_that_is_no_program_matches_itself_alone(broken: str) -> None:
    task = Task(domain="code", kind=Kind.DEDUCTION, program=broken, cases=(Case("1", "1"),))
    game = replace(World().game(), heldout=[HeldOut(name="x", task=task)])

    assert game.is_held_out(task)
    assert not game.is_held_out(replace(task, program="def f(x): return x"))
