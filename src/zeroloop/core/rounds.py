"""Rounds of self-play and what their stages store.

Plain values, the same on both sides of the wire. Token ids and log-probabilities are kept as
compact 32-bit arrays, because one round can hold millions of them.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from zeroloop.core.tasks import Kind, Outcome, Role, Task

INT32 = "i"
"""Type code of arrays of token ids: signed, 32 bits."""

FLOAT32 = "f"
"""Type code of arrays of log-probabilities: IEEE 754, 32 bits."""


def token_array(token_ids: Iterable[int]) -> "array[int]":
    """Return `token_ids` as a compact array; an array of that type comes back as it is.

    Raises:
        ValueError: If an id does not fit into 32 bits.
    """
    if isinstance(token_ids, array) and token_ids.typecode == INT32:
        return token_ids
    try:
        return array(INT32, token_ids)
    except OverflowError as error:
        raise ValueError(f"token ids must fit into 32 bits: {error}") from error


def logprob_array(logprobs: Iterable[float]) -> "array[float]":
    """Return `logprobs` as a compact array; an array of that type comes back as it is."""
    if isinstance(logprobs, array) and logprobs.typecode == FLOAT32:
        return logprobs
    return array(FLOAT32, logprobs)


class Stage(StrEnum):
    """Stages of a round, in their order."""

    PROPOSE = "propose"
    VALIDATE = "validate"
    ESTIMATE = "estimate"
    SOLVE = "solve"
    REWARD = "reward"

    EVALUATE = "evaluate"
    """Held-out evaluation; of round 0 before learning, of a later one after it."""


BATCH_STAGES = (Stage.PROPOSE, Stage.VALIDATE, Stage.ESTIMATE, Stage.SOLVE, Stage.REWARD)
"""Stages, possibly empty, that a round must have stored before its batch can be queued."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One generation with what became of it."""

    index: int
    """Position within its stage, from 0."""

    kind: Kind
    role: Role

    prompt_token_ids: Sequence[int] = field(repr=False)
    token_ids: Sequence[int] = field(repr=False)

    logprobs: Sequence[float] = field(repr=False, default=())
    """Of `token_ids` under the weights that sampled them, nats; 32-bit floats."""

    text: str = ""

    finish_reason: str = "stop"
    """`stop` or `length`."""

    weights_version: int = 0
    seed: int = 0

    task_id: str = ""
    """Solver: the task. Proposer of induction: the program's task."""

    reference_task_ids: tuple[str, ...] = ()
    """Proposer: tasks that the prompt showed."""

    composite_task_ids: tuple[str, ...] = ()
    """Proposer: tasks whose programs the new one must build on, that of `g_0` first."""

    outcome: Outcome | None = None
    """Solver only."""

    accuracy: float = 0.0
    format_ok: bool = False

    proposal_index: int = 0
    """ESTIMATE only: index of the proposal in PROPOSE that this rollout estimates."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_token_ids", token_array(self.prompt_token_ids))
        object.__setattr__(self, "token_ids", token_array(self.token_ids))
        object.__setattr__(self, "logprobs", logprob_array(self.logprobs))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredVerdict:
    """What validation said of the proposal at `index` of PROPOSE: exactly one of three."""

    index: int
    task: Task | None = None

    rejection: str = ""
    """Name of the reason."""

    not_executed: str = ""
    """What failed, if the platform did."""

    format_ok: bool = False
    detail: str = ""

    def __post_init__(self) -> None:
        given = (self.task is not None) + bool(self.rejection) + bool(self.not_executed)
        if given != 1:
            raise ValueError(
                f"verdict {self.index} needs exactly one of task, rejection and not_executed, "
                f"got {given} of them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """How the solver did on the proposal at `index` of PROPOSE."""

    index: int

    outcomes: tuple[Outcome, ...]
    """One per rollout."""

    accuracies: tuple[float, ...]
    """Aligned with `outcomes`; of NOT_EXECUTED ones 0 and without meaning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeReward:
    """What an episode earned: one sequence of the batch."""

    stage: Stage
    index: int
    """Index of the episode in `stage`."""

    reward: float
    advantage: float

    token_weight: float
    """Share of each of its response tokens in the loss."""


Record: TypeAlias = Episode | StoredVerdict | Estimate | EpisodeReward

RECORD_TYPES: Mapping[Stage, tuple[type[Record], ...]] = {
    Stage.PROPOSE: (Episode,),
    Stage.VALIDATE: (StoredVerdict,),
    Stage.ESTIMATE: (Estimate, Episode),
    Stage.SOLVE: (Episode,),
    Stage.REWARD: (EpisodeReward,),
    Stage.EVALUATE: (Episode,),
}
"""What the output of each stage consists of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSummary:
    """What is known of a stored stage without its records."""

    stage: Stage

    records: int = 0
    """In a request: the records that follow, or 0 if that is not known yet."""

    duration_s: float = 0.0
    """Wall time."""

    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """By name, see `zeroloop.core.figures`."""

    stored_at: datetime | None = None
    """Set by the buffer."""


class RoundState(StrEnum):
    """How far a round has come."""

    OPEN = "open"
    COMMITTED = "committed"

    TRAINED = "trained"
    """Its batch is trained and the weights are published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round of a run."""

    run: str
    round: int
    state: RoundState

    weights_version: int
    """Weights that played it."""

    opened_at: datetime
    committed_at: datetime | None = None

    stages: tuple[StageSummary, ...] = ()
    """The stored ones, in the order of `Stage`."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """By name, see `zeroloop.core.figures`."""

    traceparent: str = ""
    """W3C trace context of the round."""

    def stage(self, stage: Stage) -> StageSummary | None:
        """The summary of a stage, or None if it is not stored."""
        return next((summary for summary in self.stages if summary.stage is stage), None)


@dataclass(frozen=True, slots=True)
class RoundPage:
    """One page of a list of rounds."""

    rounds: tuple[Round, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What committing a round answers."""

    round: Round

    task_ids: tuple[str, ...]
    """Aligned with the tasks of the commit that counted."""

    already_committed: bool
