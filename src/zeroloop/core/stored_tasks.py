"""Tasks with their history, as the buffer keeps them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from zeroloop.core.tasks import Kind, Task


class Strategy(StrEnum):
    """How tasks are drawn from a buffer."""

    UNIFORM = "uniform"
    """Uniform without replacement."""

    STEP = "step"
    """Weight = admission round + 1, without replacement."""

    MAX_NEW = "max_new"
    """Tasks of the newest rounds first, filled up from the whole buffer uniformly."""

    HALF_NEW = "half_new"
    """At most half from the newest rounds, the rest from the whole buffer."""

    STEP_REPEATED = "step_repeated"
    """Weight = admission round, with replacement: seeds only where there is nothing else."""


class BufferFull(StrEnum):
    """Which tasks a full buffer keeps."""

    KEEP_NEWEST = "keep_newest"

    KEEP_OLDEST = "keep_oldest"
    """New tasks leave at once."""

    RESERVOIR = "reservoir"
    """Every task that was ever admitted stays with the same chance."""


class Origin(StrEnum):
    """How a task came to be."""

    ZERO = "zero"
    """The one task that is written by hand."""

    SEED = "seed"
    """Proposed before the first round."""

    ROUND = "round"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Where a task comes from."""

    round: int
    """Round that admitted it; 0 for seeds."""

    proposed_by_weights: int = 0
    """Version of the weights that proposed it."""

    reference_task_ids: tuple[str, ...] = ()
    """Tasks that the proposer saw."""

    composite_task_ids: tuple[str, ...] = ()
    """Tasks whose programs it builds on, that of `g_0` first; see `Task.composites`."""

    validator: str = ""
    """Version of the validator that verified it."""

    image_digest: str = ""
    """Digest of the interpreter and runner that verified it."""

    origin: str = Origin.ROUND


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """How often the solver of one round succeeded at a task."""

    round: int
    weights_version: int

    attempts: int
    """Rollouts whose outcome is known."""

    success_rate: float
    """Mean accuracy over them, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTask:
    """A task to admit."""

    task: Task
    lineage: Lineage

    observation: Observation | None = None
    """None: not estimated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTask:
    """An admitted task with its history."""

    task: Task
    run: str
    lineage: Lineage

    sequence: int
    """Position in the run's order of admission, from 0."""

    admitted_at: datetime

    observations: tuple[Observation, ...] = ()
    """Oldest first."""

    @property
    def task_id(self) -> str:
        """Identity in the buffer."""
        return self.task.task_id

    @property
    def kind(self) -> Kind:
        """Which part of the task the solver has to find."""
        return self.task.kind

    @property
    def program(self) -> str:
        """The whole program text, imports included."""
        return self.task.source

    @property
    def input(self) -> str:
        """Input of the first case."""
        return self.task.cases[0].input

    @property
    def output(self) -> str:
        """Output of the first case."""
        return self.task.cases[0].output

    @property
    def success_rate(self) -> float | None:
        """Share of the newest attempts that solved it; None: never attempted."""
        return self.observations[-1].success_rate if self.observations else None


@dataclass(frozen=True, slots=True)
class TaskSample:
    """Independent draws of tasks."""

    tasks: tuple[StoredTask, ...]
    """Each drawn task once."""

    draws: tuple[tuple[int, ...], ...]
    """For each draw, indexes into `tasks`."""

    def draw(self, index: int) -> tuple[StoredTask, ...]:
        """The tasks of one draw, in the order they were drawn."""
        return tuple(self.tasks[position] for position in self.draws[index])


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of a list of tasks."""

    tasks: tuple[StoredTask, ...]

    next_page_token: str
    """Empty on the last page."""

    total_tasks: int
    """Tasks that match, on all pages."""
