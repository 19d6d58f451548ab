"""Whole rounds against services in memory: with overlap and without, with faults, resumed."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from services.controller.options import Pipeline, PlayOptions
from services.controller.rounds.asking import Patience
from services.controller.rounds.engine import RoundEngine, missing_steps
from services.controller.rounds.game import Game, HeldOut, Turn
from services.controller.rounds.meter import Meter
from services.controller.rounds.tracing import RoundTrace
from services.controller.steps import PLAY_STEPS, SEED_STEPS, Step
from tests.unit.controller.fake_buffer import FakeBuffer
from tests.unit.controller.fakes import FakeInference, FakeReward, Faults
from zeroloop.core import figures
from zeroloop.core.rounds import Episode, EpisodeReward, Estimate, Record, RoundState, Stage
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task
from zeroloop.errors import FailedPreconditionError, UnavailableError

SMALL = AlgorithmSettings(samples_per_group=4, seed_batch_factor=2, rollouts=3, references=2)
HELD_OUT = [
    HeldOut(
        name=f"{kind}-{i}",
        task=Task(domain="code", kind=kind, program=f"p{i}", cases=(Case("1", "1"),)),
    )
    for kind in Kind
    for i in range(5)
]


@dataclass(frozen=True, kw_only=True)
class Instant(Game):
    """A game that does not wait between attempts."""

    def patience(self) -> Patience:
        async def no_time(_: float) -> None:
            return

        return Patience(self.play.limits.unavailable_s, sleep=no_time)


@dataclass
class World:
    """One run with everything that outlives a crash."""

    settings: AlgorithmSettings = SMALL
    play: PlayOptions = field(default_factory=lambda: options())
    faults: Faults = field(default_factory=Faults)
    reports: list[tuple[int, Step, Mapping[str, float]]] = field(default_factory=list)
    clock_s: float = 0.0

    def __post_init__(self) -> None:
        self.buffer = FakeBuffer(self.faults)
        self.inference = FakeInference(self.faults)
        self.reward = FakeReward(self.settings, self.faults)

    def tick(self) -> float:
        self.clock_s += 0.25
        return self.clock_s

    def game(self) -> Game:
        return Instant(
            run="r",
            seed=7,
            algorithm=self.settings,
            play=self.play,
            inference=self.inference,
            reward=self.reward,
            buffer=self.buffer,
            meter=Meter(self.tick),
            prompt_tokens_max=4000,
            heldout=HELD_OUT,
        )

    async def play_round(self, index: int, until: Step | None = None) -> None:
        game = self.game()
        engine = RoundEngine(game, RoundTrace("r"), self.report)
        turn = Turn(index, weights_version=max(index - 1, 0))
        while steps := await self._missing(game, index):
            if steps[0] is until:
                return
            await engine.play(turn, steps[0])

    async def _missing(self, game: Game, index: int) -> tuple[Step, ...]:
        while True:
            with suppress(UnavailableError):
                return await missing_steps(game, index)

    def report(self, turn: Turn, step: Step, found: Mapping[str, float]) -> None:
        self.reports.append((turn.round, step, found))

    def records(self, index: int, stage: Stage) -> Sequence[Record]:
        return self.buffer.rounds.records[index, stage]

    def everything(self) -> tuple[object, ...]:
        """All that is stored, but for what was measured."""
        rounds = self.buffer.rounds
        return (
            rounds.records,
            [replace(stored, admitted_at=None) for stored in self.buffer.tasks.stored],  # pyright: ignore[reportArgumentType]
            rounds.observations,
            [known.metrics for known in rounds.rounds.values()],
        )


def options(**limits: float) -> PlayOptions:
    return PlayOptions.model_validate({"limits": {"gather_s": 0, **limits}})


def overlapping(value: bool) -> PlayOptions:
    return options().model_copy(update={"pipeline": Pipeline(overlap=value)})


async def play_two_rounds(world: World) -> World:
    for index in range(3):
        world.inference.weights_version = max(index - 1, 0)
        await world.play_round(index)
    return world


async def test_the_seeds_fill_every_buffer_and_begin_with_the_task_written_by_hand() -> None:
    world = World()
    await world.play_round(0)

    tasks = [stored.task for stored in world.buffer.tasks.stored]
    for kind in Kind:
        of_kind = [task for task in tasks if task.kind is kind]
        assert len(of_kind) == SMALL.group_seeds
        assert of_kind[0].program == "def f(a):\n    return a"
    origins = [stored.lineage.origin for stored in world.buffer.tasks.stored]
    assert origins.count("zero") == 3
    assert world.buffer.rounds.batches == []


async def test_a_round_stores_every_stage_and_queues_one_batch() -> None:
    world = await play_two_rounds(World())

    assert world.buffer.rounds.batches == [1, 2]
    proposals = [r for r in world.records(1, Stage.PROPOSE) if isinstance(r, Episode)]
    assert [r.index for r in proposals] == list(range(12))
    assert all(r.logprobs and r.prompt_token_ids for r in proposals)
    solutions = [r for r in world.records(1, Stage.SOLVE) if isinstance(r, Episode)]
    assert len(solutions) == 12
    assert all(r.role is Role.SOLVER and r.outcome and r.task_id for r in solutions)
    estimates = [r for r in world.records(1, Stage.ESTIMATE) if isinstance(r, Estimate)]
    assert all(len(r.outcomes) == SMALL.rollouts for r in estimates)
    rewards = [r for r in world.records(1, Stage.REWARD) if isinstance(r, EpisodeReward)]
    lengths = {(Stage.PROPOSE, r.index): len(r.token_ids) for r in proposals} | {
        (Stage.SOLVE, r.index): len(r.token_ids) for r in solutions
    }
    share = sum(r.token_weight * lengths[r.stage, r.index] for r in rewards)
    assert share == pytest.approx(1.0)


async def test_the_metrics_of_a_round_name_what_the_documentation_lists() -> None:
    world = await play_two_rounds(World())

    metrics = world.buffer.rounds.rounds[2].metrics
    assert metrics[figures.PROPOSALS] == 12
    assert 0 < metrics[figures.VALIDITY] <= 1
    assert metrics[figures.ADMITTED] == metrics[figures.VALID]
    assert metrics[figures.TASKS] == len(world.buffer.tasks.stored)
    assert "gen_code_i/accuracy" in metrics
    assert "pred_code_f/response_length/mean" in metrics


async def test_tasks_that_made_room_for_newer_ones_are_not_counted() -> None:
    world = await play_two_rounds(World(settings=replace(SMALL, buffer_tasks_max=9)))

    tasks = world.buffer.tasks
    assert tasks.left
    metrics = world.buffer.rounds.rounds[2].metrics
    assert metrics[figures.TASKS] == len(tasks.stored) - len(tasks.left)


async def test_overlapping_stores_the_same_records_as_playing_in_turn() -> None:
    in_turn = await play_two_rounds(World(play=overlapping(False)))
    at_once = await play_two_rounds(World(play=overlapping(True)))

    assert at_once.everything() == in_turn.everything()


@pytest.mark.parametrize("overlap", [False, True], ids=["in turn", "overlapping"])
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_fails_the_same_is_stored_in_the_end(seed: int, overlap: bool) -> None:
    """Every call fails now and then, half way through too; a step that gives up is repeated."""
    expected = await play_two_rounds(World())
    world = World(play=overlapping(overlap), faults=Faults(random.Random(seed), ratio=0.03))

    for index in range(3):
        world.inference.weights_version = max(index - 1, 0)
        for _ in range(1000):
            with suppress(UnavailableError):
                await world.play_round(index)
                break

    assert world.everything() == expected.everything()


@pytest.mark.parametrize("step", [*SEED_STEPS[1:], *PLAY_STEPS[1:]])
@pytest.mark.parametrize("overlap", [False, True], ids=["in turn", "overlapping"])
async def test_a_round_goes_on_at_its_first_missing_step(step: Step, overlap: bool) -> None:
    expected = await play_two_rounds(World())
    world = World(play=overlapping(False))
    if step in PLAY_STEPS:
        await world.play_round(0)
    await world.play_round(1 if step in PLAY_STEPS else 0, until=step)

    world.play = overlapping(overlap)
    await play_two_rounds(world)

    assert world.everything() == expected.everything()


async def test_an_episode_that_was_not_executed_is_in_no_reward_and_no_batch() -> None:
    world = World(faults=Faults(random.Random(1), not_executed_ratio=0.6))
    await world.play_round(0)
    await world.play_round(1)

    lost = {
        r.index
        for r in world.records(1, Stage.SOLVE)
        if isinstance(r, Episode) and r.outcome is Outcome.NOT_EXECUTED
    }
    unknown = {r.index for r in world.records(1, Stage.VALIDATE) if getattr(r, "not_executed", "")}
    assert lost
    assert unknown
    for earned in world.records(1, Stage.REWARD):
        assert isinstance(earned, EpisodeReward)
        assert earned.index not in (lost if earned.stage is Stage.SOLVE else unknown)
    for observations in world.buffer.rounds.observations:
        assert all(o.attempts > 0 for o in observations.values())


@pytest.mark.parametrize("ratio_max", [0.5, 1.0], ids=["by default", "whatever share may be lost"])
async def test_a_stage_that_the_platform_lost_is_not_stored(ratio_max: float) -> None:
    world = World(play=options(not_executed_ratio_max=ratio_max))
    await world.play_round(0)
    world.faults.not_executed_ratio = 1.0

    with pytest.raises(UnavailableError, match="the platform failed on 12 of 12"):
        await world.play_round(1)

    assert (1, Stage.VALIDATE) not in world.buffer.rounds.records


@pytest.mark.parametrize("overlap", [False, True], ids=["in turn", "overlapping"])
async def test_a_round_that_the_platform_lost_is_played_once_it_works(overlap: bool) -> None:
    expected = await play_two_rounds(World())
    play = PlayOptions.model_validate(
        {
            "limits": {"gather_s": 0, "not_executed_ratio_max": 1},
            "pipeline": {"overlap": overlap},
        }
    )
    world = World(play=play)
    await world.play_round(0)
    world.faults.not_executed_ratio = 1.0
    with pytest.raises(UnavailableError):
        await world.play_round(1)
    world.faults.not_executed_ratio = 0.0

    await play_two_rounds(world)

    assert world.everything() == expected.everything()


async def test_a_round_without_a_single_token_is_refused_with_the_reason() -> None:
    world = World()
    await world.play_round(0)
    world.inference.mute = True

    with pytest.raises(FailedPreconditionError, match="round 1 has nothing to train on"):
        await world.play_round(1)

    assert (1, Stage.REWARD) not in world.buffer.rounds.records


async def test_rollouts_join_the_batch_when_they_are_trained_on() -> None:
    world = World(settings=replace(SMALL, train_on_mc_rollouts=True))
    await world.play_round(0)
    await world.play_round(1)

    rollouts = [r for r in world.records(1, Stage.ESTIMATE) if isinstance(r, Episode)]
    assert len(rollouts) % SMALL.rollouts == 0
    assert all(r.prompt_token_ids and r.logprobs for r in rollouts)
    trained = [
        r
        for r in world.records(1, Stage.REWARD)
        if isinstance(r, EpisodeReward) and r.stage is Stage.ESTIMATE
    ]
    assert len(trained) == len(rollouts)


async def test_the_same_steps_tasks_are_solved_first_when_the_paper_is_followed() -> None:
    world = World(settings=replace(SMALL, same_step_tasks=True))
    await world.play_round(0)
    await world.play_round(1)

    solved = [r for r in world.records(1, Stage.SOLVE) if isinstance(r, Episode)]
    fresh = [r for r in solved if not r.task_id]
    verdicts = {r.index for r in world.records(1, Stage.VALIDATE) if getattr(r, "task", None)}
    assert fresh
    assert {r.proposal_index for r in fresh} <= verdicts


async def test_a_proposer_that_is_not_trained_has_no_share_in_the_batch() -> None:
    world = World(settings=replace(SMALL, train_propose=False))
    await world.play_round(0)
    await world.play_round(1)

    stages = {r.stage for r in world.records(1, Stage.REWARD) if isinstance(r, EpisodeReward)}
    assert stages == {Stage.SOLVE}


@pytest.mark.parametrize("overlap", [True, False])
async def test_steps_that_train_the_solver_alone_ask_for_no_proposals(*, overlap: bool) -> None:
    settings = replace(SMALL, solve_only_steps=1)
    play = PlayOptions(pipeline=Pipeline(overlap=overlap))
    world = await play_two_rounds(World(settings=settings, play=play))

    for stage in (Stage.PROPOSE, Stage.VALIDATE, Stage.ESTIMATE):
        assert world.records(1, stage) == []
        assert world.records(2, stage) != []
    assert world.buffer.rounds.batches == [1, 2]
    assert world.buffer.rounds.rounds[1].metrics[figures.SEQUENCES] == 12


async def test_prompts_that_are_too_long_are_drawn_again() -> None:
    world = World()
    await world.play_round(0)
    game = replace(world.game(), prompt_tokens_max=60)
    world.inference.prompt_tokens = {}
    engine = RoundEngine(game, RoundTrace("r"), lambda *_: None)

    await engine.play(Turn(1, 0), Step.PROPOSE)

    proposals = [r for r in world.records(1, Stage.PROPOSE) if isinstance(r, Episode)]
    assert len(proposals) == 12
    assert all(len(r.prompt_token_ids) <= 60 for r in proposals)


async def test_a_model_that_no_prompt_fits_is_refused_with_the_remedy() -> None:
    world = World()
    await world.play_round(0)
    engine = RoundEngine(
        replace(world.game(), prompt_tokens_max=1), RoundTrace("r"), lambda *_: None
    )

    with pytest.raises(FailedPreconditionError, match="raise prompt_tokens_max"):
        await engine.play(Turn(1, 0), Step.PROPOSE)


async def test_a_model_that_proposes_nothing_valid_is_refused_with_the_remedy() -> None:
    play = options(seed_attempts_max=2)
    world = World(settings=replace(SMALL, samples_per_group=64), play=play)
    world.reward.rejects_everything = True

    with pytest.raises(FailedPreconditionError, match="0 valid program seeds, and 63 are needed"):
        await world.play_round(0)


async def test_the_buffer_knows_which_rounds_are_committed() -> None:
    world = await play_two_rounds(World())

    assert [known.state for known in world.buffer.rounds.rounds.values()] == [
        RoundState.COMMITTED
    ] * 3
