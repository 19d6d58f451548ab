"""Whole runs in memory, in which calls fail, parts die and the controller is killed."""

import random
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from services.controller.decide import Halt, Pause, Reason, Spec
from services.controller.loop import run
from services.controller.platforms.memory import Faults, MemoryPlatform

SPEC = Spec(rounds=5, trainer_failures_max=1000)
TICKS_MAX = 5_000


class Crash(BaseException):
    """The controller is killed."""


@dataclass
class FaultyHost:
    """A machine that is switched off now and then. Time passes in `sleep` alone."""

    dice: random.Random
    crash_ratio: float = 0.1
    ticks: int = 0

    async def sleep(self, _: float) -> None:
        self.ticks += 1
        assert self.ticks < TICKS_MAX, "the run is stuck"
        if self.dice.random() < self.crash_ratio:
            raise Crash


def steady() -> FaultyHost:
    return FaultyHost(random.Random(0), crash_ratio=0.0)


@pytest.mark.parametrize("colocate", [False, True], ids=["own devices", "taking turns"])
@pytest.mark.parametrize("seed", range(200))
async def test_every_round_trains_exactly_once_whatever_fails(seed: int, colocate: bool) -> None:
    """A failing seed replays exactly."""
    dice = random.Random(seed)
    host = FaultyHost(dice)
    spec = replace(SPEC, rounds_per_job=1 if colocate else seed // 2 % 4, colocate=colocate)
    faults = Faults(
        unavailable_ratio=0.3,
        service_death_ratio=0.1,
        trainer_death_ratio=0.3,
        replica_death_ratio=0.1,
    )
    platform = MemoryPlatform(
        dice,
        rounds=SPEC.rounds,
        replicas=1 + seed % 3,
        faults=faults,
        overlap=seed % 2 == 0,
        colocate=colocate,
    )

    ended = None
    while ended is None:
        with suppress(Crash):
            ended = await run(lambda: spec, platform, tick_s=1.0, sleep=host.sleep)

    assert isinstance(ended, Halt)
    assert ended.reason is Reason.ALL_ROUNDS_PLAYED
    assert platform.trained == [1, 2, 3, 4, 5]
    assert platform.admitted == [0, 1, 2, 3, 4, 5]
    assert platform.served == [5] * platform.replicas
    for versions in platform.history:
        assert versions == sorted(set(versions)), "weights never go back or repeat"


async def test_a_run_goes_on_where_it_was_suspended() -> None:
    platform = MemoryPlatform(random.Random(0), rounds=SPEC.rounds)
    suspend = False

    def wanted() -> Spec:
        return Spec(rounds=SPEC.rounds, suspend=suspend or platform.trained == [1, 2])

    paused = await run(wanted, platform, tick_s=1.0, sleep=steady().sleep)
    assert isinstance(paused, Pause)
    assert platform.trained == [1, 2]

    ended = await run(lambda: SPEC, platform, tick_s=1.0, sleep=steady().sleep)
    assert isinstance(ended, Halt)
    assert platform.trained == [1, 2, 3, 4, 5]


async def test_weights_that_no_replica_accepts_stop_the_run_and_are_never_served() -> None:
    platform = MemoryPlatform(random.Random(0), rounds=SPEC.rounds, bad_version=3)

    ended = await run(lambda: SPEC, platform, tick_s=1.0, sleep=steady().sleep)

    assert isinstance(ended, Halt)
    assert ended.reason is Reason.WEIGHTS_REJECTED
    assert platform.served == [2]


async def test_more_rounds_can_be_asked_for_when_all_are_played() -> None:
    platform = MemoryPlatform(random.Random(0), rounds=2)
    await run(lambda: Spec(rounds=2), platform, tick_s=1.0, sleep=steady().sleep)

    platform.rounds = 4
    ended = await run(lambda: Spec(rounds=4), platform, tick_s=1.0, sleep=steady().sleep)

    assert isinstance(ended, Halt)
    assert ended.completed
    assert platform.trained == [1, 2, 3, 4]
