"""Held-out tasks are asked the same way before and after learning."""

from collections import Counter

from services.controller.options import Evaluate
from services.controller.rounds.engine import RoundEngine
from services.controller.rounds.game import Turn
from services.controller.rounds.tracing import RoundTrace
from services.controller.steps import Step
from tests.unit.controller.test_engine import World, options, play_two_rounds
from zeroloop.core.rounds import Episode, Stage


async def test_evaluation_asks_the_same_questions_with_the_same_seeds() -> None:
    world = await play_two_rounds(World())
    world.inference.weights_version = 2
    game = world.game()
    await RoundEngine(game, RoundTrace("r"), world.report).play(Turn(2, 2), Step.EVALUATE)

    before, after = world.records(0, Stage.EVALUATE), world.records(2, Stage.EVALUATE)
    pairs = zip(before, after, strict=True)
    for b, a in pairs:
        assert isinstance(b, Episode)
        assert isinstance(a, Episode)
        assert (b.task_id, b.seed) == (a.task_id, a.seed)
    names = {name for _, step, found in world.reports if step is Step.EVALUATE for name in found}
    assert "heldout_accuracy.deduction" in names


async def test_several_answers_to_a_held_out_task_have_seeds_of_their_own_and_count_once() -> None:
    once = World()
    await once.play_round(0)
    play = options()
    world = World(play=play.model_copy(update={"evaluate": Evaluate(samples=3)}))
    await world.play_round(0)

    answers = [r for r in world.records(0, Stage.EVALUATE) if isinstance(r, Episode)]
    single = [r for r in once.records(0, Stage.EVALUATE) if isinstance(r, Episode)]
    assert len(answers) == 3 * len(single)
    assert len({answer.index for answer in answers}) == len(answers)
    assert len({answer.seed for answer in answers}) == len(answers)
    assert {answer.seed for answer in single} < {answer.seed for answer in answers}
    (found,) = [found for _, step, found in world.reports if step is Step.EVALUATE]
    tasks = Counter(answer.kind for answer in single)
    assert {kind: found[f"heldout_tasks.{kind}"] for kind in tasks} == tasks
