"""What is asked of the Reward service, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeroloop.core.tasks import Kind, Outcome, Role, Task
from zeroloop.core.validity import Rejection

SPECS_MAX = 4096
"""Prompts in one request."""

PROPOSALS_MAX = 256
"""Proposals in one request."""

SOLUTIONS_MAX = 4096
"""Answers in one request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A family of tasks and what it can do."""

    name: str
    kinds: tuple[Kind, ...]
    styles: tuple[str, ...]
    """Prompt styles, for instance `r1` and `compact`."""

    validator: str
    """Version of its validator, stored with every task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSpec:
    """What a prompt is about."""

    kind: Kind
    role: Role
    references: tuple[Task, ...] = ()
    """Proposer of abduction or deduction: examples to differ from."""

    task: Task | None = None
    """Proposer of induction: the task whose program is described. Solver: the task to solve."""

    composites: tuple[Task, ...] = ()
    """Proposer of abduction or deduction: tasks whose programs the new one must build on."""

    seeding: bool = False
    """Proposer: tell of the seeding rewrites, which `Proposal.seeding` applies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A proposer's reply to validate."""

    proposal_id: str
    """Chosen by the caller, echoed."""

    kind: Kind
    response: str
    """What the model wrote after the forced `<think>`."""

    source: Task | None = None
    """Induction only: the task whose program was described."""

    seeding: bool = False
    """Read payloads from the whole reply and apply the seeding rewrites."""

    composites: tuple[Task, ...] = ()
    """Abduction and deduction: tasks whose programs the new one must build on, as prompted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a proposal: exactly one of task, rejection and not_executed is set."""

    proposal_id: str
    task: Task | None = None
    rejection: Rejection | None = None
    not_executed: str = ""
    """The platform failed, and how: the proposal may be valid or not."""

    format_ok: bool = False
    """Whether the reply had the required layout; independent of validity."""

    detail: str = ""
    runs: Mapping[str, int] = field(default_factory=dict[str, int])
    """Runs of programs that it took, by status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """A solver's reply to judge."""

    solution_id: str
    """Chosen by the caller, echoed."""

    task: Task
    response: str
    """What the model wrote after the forced `<think>`."""

    require_format: bool = True
    """False for difficulty estimates, which look at the answer alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What became of an answer."""

    solution_id: str
    outcome: Outcome
    accuracy: float = 0.0
    """Score of the answer in [0, 1]; strictly between only for induction paid in part."""

    format_ok: bool = False
    detail: str = ""
    """Why it is not correct, for people."""

    runs: Mapping[str, int] = field(default_factory=dict[str, int])
    """Runs of programs that it took, by status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposerEpisode:
    """What a proposal's reward depends on."""

    valid: bool
    format_ok: bool
    rollout_accuracies: tuple[float, ...] = ()
    """Of the rollouts whose outcome is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverEpisode:
    """What an answer's reward depends on."""

    outcome: Outcome
    accuracy: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """The reward of one episode, or none: then it must not be trained on."""

    value: float | None
    success_rate: float = 0.0
    """Proposer only: of its task, in [0, 1]."""

    learnability: float = 0.0
    """Proposer only: of its task, in [0, 1]."""
