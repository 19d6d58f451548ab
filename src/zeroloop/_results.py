"""What both faces of the SDK return."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zeroloop.core import runs
from zeroloop.core.execution import Determinism, Result
from zeroloop.core.tasks import RunStatus


class RunView(ABC):
    """What a run tells of itself."""

    @property
    @abstractmethod
    def value(self) -> runs.Run:
        """Everything that is known of the run."""

    @property
    def name(self) -> str:
        """Unique on its platform."""
        return self.value.name

    @property
    def phase(self) -> runs.Phase:
        """How it stands, in one word."""
        return self.value.status.phase

    @property
    def round(self) -> int:
        """Round being played; 0 while seeding."""
        return self.value.status.round

    @property
    def rounds(self) -> int:
        """Rounds to play in all."""
        return self.value.spec.rounds

    @property
    def stage(self) -> str:
        """Stage being played; empty between stages."""
        return self.value.status.stage

    @property
    def weights_version(self) -> int:
        """Version that plays."""
        return self.value.status.weights_version

    @property
    def tasks(self) -> int:
        """Verified tasks in its buffer."""
        return self.value.status.tasks

    @property
    def solver_accuracy(self) -> float:
        """Share of the last round's solver episodes that were correct, in [0, 1]."""
        return self.value.status.solver_accuracy

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting in force."""
        return self.value.effective_settings

    def __repr__(self) -> str:
        status = f"{self.phase} {self.round}/{self.rounds}, weights v{self.weights_version}"
        return f"<run {self.name!r}: {status}>"


@dataclass(frozen=True, slots=True)
class Execution:
    """What running one program gave: a result per input, in their order."""

    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether every run returned plain data."""
        return all(result.status is RunStatus.OK for result in self.results)

    @property
    def value(self) -> str | None:
        """Canonical text of the first result; None if that run did not return plain data."""
        return self.values[0] if self.results else None

    @property
    def values(self) -> tuple[str | None, ...]:
        """Canonical text of each result; None where a run did not return plain data."""
        return tuple(r.value if r.status is RunStatus.OK else None for r in self.results)

    @property
    def status(self) -> RunStatus:
        """How the first run that was not ok ended; ok if there is none."""
        return next(
            (result.status for result in self.results if result.status is not RunStatus.OK),
            RunStatus.OK,
        )

    @property
    def deterministic(self) -> bool:
        """Whether every input gave the same in two interpreters."""
        return all(result.determinism is Determinism.YES for result in self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)
