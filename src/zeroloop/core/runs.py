"""Runs of self-play: what is wanted of one, how it stands, what happens in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from zeroloop.core import figures


class Phase(StrEnum):
    """How a run stands, in one word. Derived from its conditions."""

    PENDING = "pending"
    """Accepted; waits until another run has ended."""

    STARTING = "starting"
    PLAYING = "playing"
    SUSPENDED = "suspended"
    """Goes on with ResumeRun."""

    DEGRADED = "degraded"
    """Cannot go on without a person; ResumeRun tries again."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens in the run by itself."""
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.STOPPED)


class ConditionType(StrEnum):
    """What a run is measured by."""

    ACCEPTED = "Accepted"
    INFERENCE_READY = "InferenceReady"
    TRAINING_READY = "TrainingReady"
    PROGRESSING = "Progressing"
    WEIGHTS_SYNCED = "WeightsSynced"
    DEGRADED = "Degraded"
    COMPLETED = "Completed"
    FAILED = "Failed"


class EventType(StrEnum):
    """What kind of thing happened in a run. Closed set."""

    PROGRESS = "progress"
    """A stage has come further; only watchers see these, they are not kept."""

    STAGE = "stage"
    ROUND = "round"
    WEIGHTS = "weights"
    EVALUATION = "evaluation"
    WARNING = "warning"
    STATE = "state"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """Desired state of a run. Immutable but for `rounds` and `suspend`."""

    model: str
    """Folder of a Hugging Face causal language model, or a hub id as hf://ORG/NAME."""

    rounds: int
    """Rounds to play in all; 0: as many as the option `total_steps` says."""

    preset: str = ""
    """Empty means `paper`."""

    seed: int = 0
    """Drives every random choice."""

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings that differ from the preset, by name."""

    suspend: bool = False
    heldout: str = ""
    """JSONL of held-out tasks; empty: the model folder's heldout.jsonl, if there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing that is true or not of a run, and why."""

    type: ConditionType
    status: bool
    reason: str
    """One word in upper camel case."""

    changed_at: datetime
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """How a run stands."""

    phase: Phase = Phase.PENDING
    conditions: tuple[Condition, ...] = ()
    round: int = 0
    """Round being played; 0 while seeding."""

    stage: str = ""
    """Stage being played; empty between stages."""

    weights_version: int = 0
    tasks: int = 0
    """Tasks in the run's buffer after the last round."""

    solver_accuracy: float = 0.0
    """Share of the last round's solver episodes that were correct, in [0, 1]."""

    started_at: datetime | None = None
    ended_at: datetime | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of that type, or None if nothing is known of it yet."""
        return next((c for c in self.conditions if c.type is kind), None)

    def with_condition(self, condition: Condition) -> "RunStatus":
        """This status with one condition set; its time moves only if its status does."""
        before = self.condition(condition.type)
        if before is not None and before.status == condition.status:
            condition = replace(condition, changed_at=before.changed_at)
        others = (c for c in self.conditions if c.type is not condition.type)
        order = list(ConditionType)
        conditions = sorted((*others, condition), key=lambda c: order.index(c.type))
        return replace(self, conditions=tuple(conditions))


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run of self-play."""

    name: str
    spec: RunSpec
    status: RunStatus
    created_at: datetime
    effective_settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Every setting in force, preset and overrides merged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEvent:
    """Something that happened in a run."""

    at: datetime
    type: EventType
    round: int = 0
    stage: str = ""
    """Empty between stages."""

    message: str = ""
    """For people."""

    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """By name, see `zeroloop.core.figures`."""

    @property
    def solver_accuracy(self) -> float:
        """The solver's mean accuracy in [0, 1], 0 if this event does not tell it."""
        return self.figures.get(figures.SOLVER_ACCURACY, 0.0)


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of a list of runs."""

    runs: tuple[Run, ...]
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of what happened in a run."""

    events: tuple[RunEvent, ...]
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True)
class WatchUpdate:
    """One message of a watch: an event, the run as it stands now, or both."""

    run: Run | None = None
    event: RunEvent | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version of the weights that is kept for ever."""

    version: int
    storage_uri: str = ""
    """Where an InferenceService fetches it from now; empty if none was named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """gRPC targets of the services; empty where a service does not run."""

    inference: str = ""
    execution: str = ""
    reward: str = ""
    buffer: str = ""
