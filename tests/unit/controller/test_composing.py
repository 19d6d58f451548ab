"""Rounds in which proposals build on programs of the buffer."""

from dataclasses import replace

import pytest

from services.controller.options import Pipeline, PlayOptions
from services.controller.steps import Step
from tests.unit.controller.test_engine import SMALL, World, play_two_rounds
from zeroloop.core.rounds import Episode, Stage
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

ALWAYS = replace(SMALL, composite_start_step=1, composite_chance=1.0)


async def play(settings: AlgorithmSettings, *, overlap: bool = True) -> World:
    world = World(settings=settings, play=PlayOptions(pipeline=Pipeline(overlap=overlap)))
    return await play_two_rounds(world)


def built(world: World) -> list[StoredTask]:
    return [stored for stored in world.buffer.tasks.stored if stored.task.composites]


def proposals(world: World, index: int) -> list[Episode]:
    return [e for e in world.records(index, Stage.PROPOSE) if isinstance(e, Episode)]


async def test_a_round_admits_tasks_that_build_on_others() -> None:
    world = await play(ALWAYS)

    by_id = {stored.task.task_id: stored for stored in world.buffer.tasks.stored}
    assert {stored.lineage.round for stored in built(world)} == {1, 2}
    for stored in built(world):
        ids = stored.lineage.composite_task_ids
        assert 1 <= len(ids) == len(set(ids)) == len(stored.task.composites) <= 3
        assert stored.kind is not Kind.INDUCTION
        for name in ids:
            assert by_id[name].kind is stored.kind
            assert by_id[name].lineage.round < stored.lineage.round
            assert not by_id[name].task.composites
        for index, source in enumerate(stored.task.composites):
            assert source.startswith(f"def g_{index}(")
            assert stored.task.program.count(source) == 1
        assert stored.task.original_program.startswith("def f(")


async def test_only_programs_are_proposed_on_top_of_others() -> None:
    world = await play(ALWAYS)

    for episode in proposals(world, 2):
        assert bool(episode.composite_task_ids) == (episode.kind is not Kind.INDUCTION)


async def test_nothing_builds_on_others_by_default_or_too_early() -> None:
    assert built(await play(SMALL)) == []
    later = await play(replace(ALWAYS, composite_start_step=2))
    assert {stored.lineage.round for stored in built(later)} == {2}


async def test_the_same_run_builds_on_the_same_programs() -> None:
    some = replace(ALWAYS, composite_chance=0.5)
    first, again = await play(some), await play(some, overlap=False)

    assert first.everything() == again.everything()
    asked = [bool(e.composite_task_ids) for e in proposals(first, 1)]
    assert any(asked)
    assert not all(asked[:8])


@pytest.mark.parametrize("step", [Step.VALIDATE, Step.ESTIMATE])
async def test_a_round_that_goes_on_knows_what_was_asked(step: Step) -> None:
    world = World(settings=ALWAYS, play=PlayOptions(pipeline=Pipeline(overlap=False)))
    await world.play_round(0)
    await world.play_round(1, until=step)
    await world.play_round(1)

    whole = await play(ALWAYS, overlap=False)
    assert world.records(1, Stage.VALIDATE) == whole.records(1, Stage.VALIDATE)
    assert built(world)
