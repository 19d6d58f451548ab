"""What a run needs next. Pure and level-triggered: it looks at the world, never at events.

A restart therefore needs no recovery code: whatever was interrupted, the next look at the
world leads to the same actions. Every action names a state to reach, never an increment, so
repeating one is harmless.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from services.controller.steps import Step


class Services(StrEnum):
    """State of everything that a round calls: inference, execution, reward, buffer."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"
    """They cannot be started: restarts are used up, or a setting is wrong."""


class Trainer(StrEnum):
    """State of the newest attempt to train."""

    ABSENT = "absent"
    """None was started, or the newest one has done what it was started for."""

    RUNNING = "running"
    FAILED = "failed"
    """It ended and may be started again: it goes on from its checkpoint."""

    REFUSED = "refused"
    """It ended because a setting or its data is wrong; starting again cannot help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What is true of the run, looked up afresh at every tick."""

    services: Services
    trainer: Trainer
    trainer_failures: int
    """Attempts to train that ended badly since the newest version was published."""

    round_index: int
    """First round that is not over: 0 until the seeds are committed, later the first one
    whose weights are not served by every replica."""

    steps_missing: tuple[Step, ...]
    """Steps of that round without a stored output, in order."""

    trained: bool
    """Whether that round is trained: its weights are published and its figures are stored."""

    served: tuple[int, ...]
    """Version that each inference replica serves; empty while none answers."""

    rejected: int
    """Newest version that a replica refused, for instance for its parity; -1 if none."""

    evaluated: bool
    """Whether the last round's held-out evaluation is stored."""

    asleep: int = 0
    """Inference replicas that have let go of their devices."""

    trainer_waits: str = ""
    """Why no machine takes the trainer; empty if one does. Nothing is decided by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What the user wants of the run."""

    rounds: int
    """Rounds to play in all, at least 1."""

    suspend: bool = False
    evaluate: bool = True
    """Whether there are held-out tasks to evaluate on."""

    rounds_per_job: int = 0
    """Rounds of a segment: the trainer ends with each and begins the next one only when a batch
    waits for it. 0: there is one segment, without an end."""

    colocate: bool = False
    """Engines and trainer share devices and take turns; a segment is one round then."""

    trainer_failures_max: int = 5
    """Attempts that may fail per round. More is not bad luck but a bug or a full disk."""


class Reason(StrEnum):
    """Why a run is over or cannot go on. Closed set: it becomes a condition's reason."""

    ALL_ROUNDS_PLAYED = "AllRoundsPlayed"
    SERVICES_BROKEN = "ServicesBroken"
    TRAINING_FAILED = "TrainingFailed"
    TRAINING_REFUSED = "TrainingRefused"
    WEIGHTS_REJECTED = "WeightsRejected"


@dataclass(frozen=True, slots=True)
class EnsureServices:
    """Every service answers."""


@dataclass(frozen=True, slots=True)
class EnsureTrainer:
    """A trainer works on this run; the attempt is part of its identity."""

    attempt: int
    last_round: int = 0
    """It ends well once this round is trained; 0: it goes on until it is told to end."""


@dataclass(frozen=True, slots=True)
class SleepEngines:
    """No replica holds its device."""


@dataclass(frozen=True, slots=True)
class WakeEngines:
    """Every replica can be asked."""


@dataclass(frozen=True, slots=True)
class AwaitTrainerEnd:
    """Look again when the trainer has ended, or soon."""


@dataclass(frozen=True, slots=True)
class Play:
    """The output of `step` is stored. Later steps may be stored too, where stages overlap."""

    round_index: int
    step: Step


@dataclass(frozen=True, slots=True)
class AwaitWeights:
    """Look again when the round of `version` is trained, or the trainer has ended, or soon."""

    version: int


@dataclass(frozen=True, slots=True)
class Roll:
    """Every replica serves `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is played until the user says so."""


@dataclass(frozen=True, slots=True)
class Halt:
    """The run is over, or a person must look at it."""

    reason: Reason
    message: str

    @property
    def completed(self) -> bool:
        """Whether the run has reached its end, as opposed to a wall."""
        return self.reason is Reason.ALL_ROUNDS_PLAYED


Action: TypeAlias = (
    EnsureServices
    | EnsureTrainer
    | SleepEngines
    | WakeEngines
    | AwaitTrainerEnd
    | Play
    | AwaitWeights
    | Roll
    | Pause
    | Halt
)


def decide(observed: Observed, spec: Spec) -> list[Action]:
    """Return what moves the run towards `spec`, to be applied in order."""
    if _over(observed, spec):
        return [Halt(Reason.ALL_ROUNDS_PLAYED, f"all {spec.rounds} rounds are played")]
    if spec.suspend:
        return [Pause()]
    if observed.services is Services.BROKEN:
        return [Halt(Reason.SERVICES_BROKEN, "a service cannot be started")]
    if observed.services is not Services.READY:
        return [EnsureServices()]
    if observed.round_index > spec.rounds:
        return _engines_turn(observed, spec) or [Play(spec.rounds, Step.EVALUATE)]
    if observed.trainer is Trainer.REFUSED:
        message = "the trainer refused its settings or its data"
        return [Halt(Reason.TRAINING_REFUSED, message)]
    if observed.steps_missing:
        return _engines_turn(observed, spec) or _play(observed, spec)
    if not observed.trained:
        return _train(observed, spec)
    return _engines_turn(observed, spec) or _roll(observed)


def _over(observed: Observed, spec: Spec) -> bool:
    trained = observed.round_index > spec.rounds
    return trained and (observed.evaluated or not spec.evaluate)


def _engines_turn(observed: Observed, spec: Spec) -> list[Action]:
    """What comes first where the engines have to get their devices back; else nothing."""
    if spec.colocate and observed.trainer is Trainer.RUNNING:
        return [AwaitTrainerEnd()]
    return [WakeEngines()] if observed.asleep else []


def _play(observed: Observed, spec: Spec) -> list[Action]:
    # A trainer that died while a round is played is started again at once: loading takes long.
    # That it fails again is no reason to stop playing, because the batch can wait.
    play = Play(observed.round_index, observed.steps_missing[0])
    # In segments none is wanted before there is a batch: others use its devices meanwhile.
    start = observed.trainer in (Trainer.ABSENT, Trainer.FAILED) and not spec.rounds_per_job
    if start and observed.trainer_failures <= spec.trainer_failures_max:
        return [EnsureTrainer(observed.trainer_failures), play]
    return [play]


def _train(observed: Observed, spec: Spec) -> list[Action]:
    version, failures = observed.round_index, observed.trainer_failures
    if failures > spec.trainer_failures_max:
        message = f"round {version} is not trained after {failures} failed attempts"
        return [Halt(Reason.TRAINING_FAILED, message)]
    # A replica that came up meanwhile is awake.
    awake = spec.colocate and observed.asleep < len(observed.served)
    first: list[Action] = [SleepEngines()] if awake else []
    if observed.trainer is not Trainer.RUNNING:
        first.append(EnsureTrainer(failures, _last_round(version, spec)))
    return [*first, AwaitWeights(version)]


def _last_round(round_index: int, spec: Spec) -> int:
    """Of the segment that a round is in. It follows from the round alone, so that a trainer
    that is started again for a segment ends where the first one would have."""
    if not spec.rounds_per_job:
        return 0
    segment = (round_index - 1) // spec.rounds_per_job
    return min((segment + 1) * spec.rounds_per_job, spec.rounds)


def _roll(observed: Observed) -> list[Action]:
    version = observed.round_index
    if observed.rejected == version:
        message = f"weights v{version} are published but were refused; the version before is served"
        return [Halt(Reason.WEIGHTS_REJECTED, message)]
    return [Roll(version)]
