"""A run in memory whose every part fails now and then, for tests and simulations.

It keeps the promises that the real parts make, and no others: a stored stage stays as it
is, a batch is queued once per round, a trainer that dies goes on from its checkpoint, a
version is registered once, a replica that restarts comes up on the newest trained version.
"""

import random
from dataclasses import dataclass, field

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
    Roll,
    Services,
    SleepEngines,
    Trainer,
    WakeEngines,
)
from services.controller.steps import Step, steps_of
from zeroloop.errors import UnavailableError


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """How often things go wrong, as ratios in [0, 1]."""

    unavailable_ratio: float = 0.0
    """A call fails, half of the time after it had its effect."""

    service_death_ratio: float = 0.0
    trainer_death_ratio: float = 0.0
    replica_death_ratio: float = 0.0


@dataclass
class MemoryPlatform:
    """One run. What outlives a crash of the controller is in the fields."""

    dice: random.Random
    rounds: int
    replicas: int = 1
    faults: Faults = field(default_factory=Faults)
    overlap: bool = False
    colocate: bool = False
    """Replicas and trainer share their devices."""

    bad_version: int = -1
    """A version that every replica refuses."""

    services: Services = Services.ABSENT
    trainer: Trainer = Trainer.ABSENT
    trainer_failures: int = 0
    last_round: int = 0
    """With which the trainer ends; 0: it does not."""

    stored: dict[int, list[Step]] = field(default_factory=dict[int, list[Step]])
    admitted: list[int] = field(default_factory=list[int])
    """Rounds whose tasks joined the buffer, in order."""

    queue: list[int] = field(default_factory=list[int])
    """Rounds whose batch waits for the trainer."""

    published: int = 0
    """Newest version in the registry."""

    trained: list[int] = field(default_factory=list[int])
    """Rounds that the trainer has acknowledged, each after its version was published."""

    served: list[int] = field(default_factory=list[int])
    history: list[list[int]] = field(default_factory=list[list[int]])
    """Versions that each replica has served, in order."""

    rejected: int = -1
    asleep: list[bool] = field(default_factory=list[bool])
    """Of each replica."""

    leaving: bool = False
    """The trainer has done its part and holds its device for a moment longer."""

    def __post_init__(self) -> None:
        self.served = [0] * self.replicas
        self.asleep = [False] * self.replicas
        self.history = [[0] for _ in range(self.replicas)]

    async def observe(self) -> Observed:
        """See `Platform.observe`."""
        self._maybe_unavailable()
        self._maybe_die()
        round_index = self._round_index()
        stored = self.stored.get(round_index, [])
        return Observed(
            services=self.services,
            trainer=self.trainer,
            trainer_failures=self.trainer_failures,
            round_index=round_index,
            steps_missing=tuple(step for step in steps_of(round_index) if step not in stored),
            trained=round_index in self.trained,
            served=tuple(self.served),
            rejected=self.rejected,
            asleep=sum(self.asleep),
            evaluated=Step.EVALUATE in self.stored.get(self.rounds, []),
        )

    async def apply(self, action: Action) -> None:
        """See `Platform.apply`."""
        if self._chance(self.faults.unavailable_ratio):
            if self._chance(0.5):
                self._apply(action)
            raise UnavailableError("simulated")
        self._apply(action)

    def _apply(self, action: Action) -> None:
        match action:
            case EnsureServices():
                self.services = Services.READY
            case EnsureTrainer(attempt, last_round):
                assert self.queue or not last_round, "a segment begins before it has a batch"
                # An attempt that has failed already is not started again under its number.
                if attempt >= self.trainer_failures:
                    assert not self.colocate or all(self.asleep), "no device for the trainer"
                    self.trainer, self.last_round = Trainer.RUNNING, last_round
            case SleepEngines():
                self.asleep = [True] * self.replicas
            case WakeEngines():
                self._engines_only()
                self.asleep = [False] * self.replicas
            case AwaitTrainerEnd():
                if self.leaving:
                    self.trainer, self.leaving = Trainer.ABSENT, False
            case Play(round_index, step):
                self._play(round_index, step)
            case AwaitWeights(version):
                self._train(version)
            case Roll(version):
                self._roll(version)
            case Halt() | Pause():
                raise AssertionError(f"{action} is not for the platform")

    def _engines_only(self) -> None:
        taken = self.colocate and self.trainer is Trainer.RUNNING
        assert not taken, "engine and trainer on one device"

    def _play(self, round_index: int, step: Step) -> None:
        assert self.services is Services.READY, "played without services"
        assert not any(self.asleep), "played while an engine sleeps"
        self._engines_only()
        resting = self.trainer is not Trainer.RUNNING or not 0 < self.last_round < round_index
        assert resting, "a trainer goes on after its segment"
        stored = self.stored.setdefault(round_index, [])
        if step is Step.EVALUATE and round_index == self.rounds:
            stored += [step] if step not in stored else []
            return
        order = steps_of(round_index)
        assert (
            list(order[: order.index(step)])
            == [s for s in order if s in stored][: order.index(step)]
        ), f"round {round_index}: {step} played with only {stored} stored"
        last = order.index(step)
        if self.overlap and Step.PROPOSE in order:
            last = max(last, self.dice.randint(0, order.index(Step.SOLVE)))
        for each in order[: last + 1]:
            if each not in stored:
                self._store(round_index, each)

    def _store(self, round_index: int, step: Step) -> None:
        self.stored[round_index].append(step)
        if step is Step.COMMIT:
            self.admitted.append(round_index)
            if round_index > 0:
                self.queue.append(round_index)

    def _train(self, version: int) -> None:
        if self.trainer is not Trainer.RUNNING or not self.queue:
            return
        assert self.queue[0] == version
        # A trainer that died after it published finds the version and only acknowledges.
        assert version in (self.published, self.published + 1)
        if self._trainer_dies():
            return
        self._publish(version)
        if self._trainer_dies():
            return
        self.trained.append(self.queue.pop(0))
        if 0 < self.last_round <= version:
            self.leaving = self.colocate
            self.trainer = Trainer.RUNNING if self.leaving else Trainer.ABSENT

    def _trainer_dies(self) -> bool:
        if not self._chance(self.faults.trainer_death_ratio):
            return False
        self.trainer, self.leaving = Trainer.FAILED, False
        self.trainer_failures += 1
        return True

    def _publish(self, version: int) -> None:
        if version > self.published:
            self.published = version
            self.trainer_failures = 0

    def _roll(self, version: int) -> None:
        assert version in self.trained, "rolled before it was trained"
        assert not any(self.asleep), "rolled while an engine sleeps"
        self._engines_only()
        if version == self.bad_version:
            self.rejected = version
            return
        for replica, served in enumerate(self.served):
            if served == version:
                continue
            if self._chance(self.faults.unavailable_ratio):
                raise UnavailableError("simulated: replica does not answer")
            self.served[replica] = version
            self.history[replica].append(version)

    def _round_index(self) -> int:
        if Step.COMMIT not in self.stored.get(0, []):
            return 0
        return min(self.served) + 1

    def _maybe_die(self) -> None:
        if self._chance(self.faults.service_death_ratio):
            self.services = Services.ABSENT
        if self.trainer is Trainer.RUNNING:
            self._trainer_dies()
        newest = self.trained[-1] if self.trained else 0
        for replica, served in enumerate(self.served):
            if self._chance(self.faults.replica_death_ratio) and served != newest:
                self.served[replica], self.asleep[replica] = newest, False
                self.history[replica].append(newest)

    def _maybe_unavailable(self) -> None:
        if self._chance(self.faults.unavailable_ratio):
            raise UnavailableError("simulated")

    def _chance(self, ratio: float) -> bool:
        return ratio > 0 and self.dice.random() < ratio
