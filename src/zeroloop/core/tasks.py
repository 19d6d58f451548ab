"""The vocabulary of self-play: kinds, roles, outcomes and the verified task.

Source: Zhao et al., "Absolute Zero", arXiv:2505.03335, sections 3.1 and 3.2.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Which part of (program, input, output) the solver has to find."""

    ABDUCTION = "abduction"
    """Given the program and the output, find an input that gives it."""

    DEDUCTION = "deduction"
    """Given the program and the input, find the output."""

    INDUCTION = "induction"
    """Given input-output pairs and a message, find a program."""


class Role(StrEnum):
    """Which side of the game the model plays."""

    PROPOSER = "proposer"
    SOLVER = "solver"


class Outcome(StrEnum):
    """What became of one answer. Closed set: these values label a metric."""

    CORRECT = "correct"

    WRONG = "wrong"
    """Right layout, but another value, unparsable, or failing when run."""

    MALFORMED = "malformed"
    """The reply lacks the required layout."""

    NOT_EXECUTED = "not_executed"
    """The platform failed. Never becomes a reward, a baseline or a training sample."""


class RunStatus(StrEnum):
    """How one run of a program ended. Closed set: these values label a metric."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    OOM = "oom"
    CRASH = "crash"
    TOOLARGE = "toolarge"
    OPAQUE = "opaque"
    GARBLED = "garbled"
    NOT_EXECUTED = "not_executed"


@dataclass(frozen=True, slots=True)
class Case:
    """One input of a program and the output that belongs to it."""

    input: str
    """Argument-list text, in the literal grammar of inputs."""

    output: str
    """Canonical text of the value that the program returned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A proposal that the sandbox has verified.

    Abduction and deduction have one case. Induction has several: the first
    `shown` are part of the solver's prompt, the others are hidden and graded.
    """

    domain: str
    kind: Kind
    program: str
    """Source whose entry point is `f`, without its imports."""

    cases: tuple[Case, ...]
    imports: tuple[str, ...] = ()
    """Import statements in source order."""

    message: str = ""
    """Induction only: the proposer's hint, shown verbatim."""

    thought: str = ""
    """The proposer's reasoning, kept for oversight, never shown to the solver."""

    shown: int = 0
    """Induction only: how many leading cases the solver sees."""

    composites: tuple[str, ...] = ()
    """Sources of `g_0`, `g_1`, ... that the program begins with; empty unless it is composite."""

    task_id: str = field(default="", compare=False)
    """Identity in the buffer; empty until admitted."""

    @property
    def source(self) -> str:
        """The whole program text: imports, then the program."""
        return "\n".join((*self.imports, self.program))

    @property
    def original_program(self) -> str:
        """The program as it was proposed, without `composites`."""
        return self.program.removeprefix("".join(f"{text}\n\n" for text in self.composites))

    @property
    def hidden_cases(self) -> tuple[Case, ...]:
        """The cases that grade an induction answer."""
        return self.cases[self.shown :]
