"""`decide` for every state of the world, and named cases for the ones that matter."""

import itertools
from dataclasses import replace

import pytest

from services.controller.decide import (
    Action,
    AwaitTrainerEnd,
    AwaitWeights,
    EnsureServices,
    EnsureTrainer,
    Halt,
    Observed,
    Pause,
    Play,
    Reason,
    Roll,
    Services,
    SleepEngines,
    Spec,
    Trainer,
    WakeEngines,
    decide,
)
from services.controller.steps import PLAY_STEPS, SEED_STEPS, Step, steps_of

SPEC = Spec(rounds=5)
COMMITTED = Observed(
    services=Services.READY,
    trainer=Trainer.RUNNING,
    trainer_failures=0,
    round_index=3,
    steps_missing=(),
    trained=False,
    served=(2,),
    rejected=-1,
    evaluated=False,
)


@pytest.mark.parametrize(
    ("observed", "actions"),
    [
        pytest.param(
            replace(COMMITTED, services=Services.ABSENT), [EnsureServices()], id="nothing runs"
        ),
        pytest.param(
            replace(COMMITTED, steps_missing=PLAY_STEPS),
            [Play(3, Step.PROPOSE)],
            id="a new round begins with proposals",
        ),
        pytest.param(
            replace(COMMITTED, steps_missing=PLAY_STEPS[3:]),
            [Play(3, Step.SOLVE)],
            id="a round goes on at its first missing step",
        ),
        pytest.param(
            replace(COMMITTED, round_index=0, steps_missing=SEED_STEPS, trainer=Trainer.ABSENT),
            [EnsureTrainer(0), Play(0, Step.SEED)],
            id="a trainer is started while the buffers are seeded",
        ),
        pytest.param(COMMITTED, [AwaitWeights(3)], id="committed rounds are trained"),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.FAILED, trainer_failures=2),
            [EnsureTrainer(2), AwaitWeights(3)],
            id="a dead trainer is started again",
        ),
        pytest.param(
            replace(COMMITTED, trained=True), [Roll(3)], id="trained weights are rolled out"
        ),
        pytest.param(
            replace(COMMITTED, trained=True, served=(3, 2)),
            [Roll(3)],
            id="a roll is finished on every replica",
        ),
        pytest.param(
            replace(COMMITTED, round_index=6, served=(5,)),
            [Play(5, Step.EVALUATE)],
            id="the last weights are evaluated",
        ),
    ],
)
def test_what_a_run_needs_next(observed: Observed, actions: list[Action]) -> None:
    assert decide(observed, SPEC) == actions


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        pytest.param(
            replace(COMMITTED, round_index=6, evaluated=True),
            Reason.ALL_ROUNDS_PLAYED,
            id="everything is played",
        ),
        pytest.param(
            replace(COMMITTED, services=Services.BROKEN),
            Reason.SERVICES_BROKEN,
            id="a service does not start",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.FAILED, trainer_failures=6),
            Reason.TRAINING_FAILED,
            id="the trainer keeps failing",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.REFUSED),
            Reason.TRAINING_REFUSED,
            id="the trainer refuses its input",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.REFUSED, steps_missing=PLAY_STEPS),
            Reason.TRAINING_REFUSED,
            id="no round is played for a trainer that refuses its settings",
        ),
        pytest.param(
            replace(COMMITTED, trained=True, rejected=3),
            Reason.WEIGHTS_REJECTED,
            id="a replica refuses the weights",
        ),
    ],
)
def test_when_a_run_halts(observed: Observed, reason: Reason) -> None:
    (action,) = decide(observed, SPEC)

    assert isinstance(action, Halt)
    assert action.reason is reason


def test_a_run_without_held_out_tasks_ends_with_its_last_roll() -> None:
    observed = replace(COMMITTED, round_index=6, served=(5,))

    (action,) = decide(observed, replace(SPEC, evaluate=False))

    assert isinstance(action, Halt)
    assert action.completed


def test_a_suspended_run_does_nothing() -> None:
    observed = replace(COMMITTED, steps_missing=PLAY_STEPS)

    assert decide(observed, replace(SPEC, suspend=True)) == [Pause()]


IN_TWOS = replace(SPEC, rounds_per_job=2)


@pytest.mark.parametrize(
    ("observed", "actions"),
    [
        pytest.param(
            replace(COMMITTED, trainer=Trainer.ABSENT, steps_missing=PLAY_STEPS),
            [Play(3, Step.PROPOSE)],
            id="no trainer while nothing waits for it",
        ),
        pytest.param(
            replace(
                COMMITTED, trainer=Trainer.FAILED, trainer_failures=1, steps_missing=PLAY_STEPS
            ),
            [Play(3, Step.PROPOSE)],
            id="nor one that is to make up for a failed one",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.ABSENT),
            [EnsureTrainer(0, last_round=4), AwaitWeights(3)],
            id="a batch begins a segment",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.FAILED, trainer_failures=1, round_index=4),
            [EnsureTrainer(1, last_round=4), AwaitWeights(4)],
            id="a segment goes on to its end after a failure",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.ABSENT, round_index=5),
            [EnsureTrainer(0, last_round=5), AwaitWeights(5)],
            id="the last segment ends with the run",
        ),
        pytest.param(
            replace(COMMITTED, round_index=4),
            [AwaitWeights(4)],
            id="within a segment the trainer runs on",
        ),
    ],
)
def test_in_segments_a_trainer_runs_only_from_a_batch_to_the_segment_s_end(
    observed: Observed, actions: list[Action]
) -> None:
    assert decide(observed, IN_TWOS) == actions


IN_TURNS = replace(SPEC, rounds_per_job=1, colocate=True)


@pytest.mark.parametrize(
    ("observed", "actions"),
    [
        pytest.param(
            replace(COMMITTED, trainer=Trainer.ABSENT, steps_missing=PLAY_STEPS),
            [Play(3, Step.PROPOSE)],
            id="the engine plays",
        ),
        pytest.param(
            replace(COMMITTED, trainer=Trainer.ABSENT),
            [SleepEngines(), EnsureTrainer(0, last_round=3), AwaitWeights(3)],
            id="it sleeps before a trainer starts",
        ),
        pytest.param(
            replace(COMMITTED, asleep=1),
            [AwaitWeights(3)],
            id="and while it trains",
        ),
        pytest.param(
            replace(COMMITTED, served=(2, 2), asleep=1),
            [SleepEngines(), AwaitWeights(3)],
            id="a replica that came up meanwhile sleeps, too",
        ),
        pytest.param(
            replace(COMMITTED, trained=True, asleep=1),
            [AwaitTrainerEnd()],
            id="the trainer must have left",
        ),
        pytest.param(
            replace(COMMITTED, trained=True, trainer=Trainer.ABSENT, asleep=1),
            [WakeEngines()],
            id="before the engine wakes",
        ),
        pytest.param(
            replace(COMMITTED, trained=True, trainer=Trainer.ABSENT),
            [Roll(3)],
            id="and takes the new weights",
        ),
        pytest.param(
            replace(COMMITTED, round_index=6, served=(5,), trainer=Trainer.ABSENT, asleep=1),
            [WakeEngines()],
            id="an engine that slept is woken to be evaluated",
        ),
    ],
)
def test_engine_and_trainer_take_turns_on_shared_devices(
    observed: Observed, actions: list[Action]
) -> None:
    assert decide(observed, IN_TURNS) == actions


def test_a_segment_that_keeps_ending_without_its_weights_halts_the_run() -> None:
    observed = replace(COMMITTED, trainer=Trainer.FAILED, trainer_failures=6)

    (action,) = decide(observed, IN_TWOS)

    assert isinstance(action, Halt)
    assert action.reason is Reason.TRAINING_FAILED


def worlds() -> list[Observed]:
    """Every service state x trainer state x round x missing steps x versions x sleep."""
    found: list[Observed] = []
    for services, trainer, failures, round_index in itertools.product(
        Services, Trainer, (0, 5, 6), (0, 1, 5, 6)
    ):
        steps = steps_of(round_index)
        for stored, trained, rejected, evaluated in itertools.product(
            range(len(steps) + 1), (False, True), (False, True), (False, True)
        ):
            found.append(
                Observed(
                    services=services,
                    trainer=trainer,
                    trainer_failures=failures,
                    round_index=round_index,
                    steps_missing=steps[stored:],
                    trained=trained,
                    served=(max(round_index - 1, 0),),
                    rejected=round_index if rejected else -1,
                    evaluated=evaluated,
                )
            )
    return [replace(world, asleep=asleep) for world in found for asleep in (0, 1)]


@pytest.mark.parametrize(
    "spec", [SPEC, IN_TWOS, IN_TURNS], ids=["one segment", "segments", "turns"]
)
def test_in_every_world_there_is_something_to_do_and_nothing_too_early(spec: Spec) -> None:
    for observed in worlds():
        actions = decide(observed, spec)

        assert actions, observed
        taken = spec.colocate and observed.trainer is Trainer.RUNNING
        for action in actions:
            match action:
                case Play(round_index, step):
                    assert not observed.asleep
                    assert not taken
                    assert observed.services is Services.READY
                    if round_index == observed.round_index and observed.steps_missing:
                        assert step is observed.steps_missing[0]
                    else:
                        assert step is Step.EVALUATE
                        assert observed.round_index > SPEC.rounds
                case AwaitWeights(version) | Roll(version):
                    assert not observed.steps_missing
                    assert version == observed.round_index <= SPEC.rounds
                    if isinstance(action, Roll):
                        assert observed.trained
                        assert not observed.asleep
                        assert not taken
                case WakeEngines():
                    assert observed.asleep
                    assert not taken
                case EnsureTrainer(attempt, last_round):
                    assert observed.trainer is not Trainer.RUNNING
                    if spec.colocate:
                        assert observed.asleep or SleepEngines() in actions
                    if spec.rounds_per_job:
                        assert not observed.steps_missing
                        assert observed.round_index <= last_round <= spec.rounds
                    assert attempt == observed.trainer_failures <= SPEC.trainer_failures_max
                case Halt():
                    assert len(actions) == 1
                case _:
                    pass
