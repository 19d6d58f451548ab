"""An Execution service that runs the harmless programs of these tests right here."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from zeroloop.core.execution import Determinism, Limits, Program, Result
from zeroloop.core.literals import CanonicalError, canonical_text, parse_arguments
from zeroloop.core.tasks import RunStatus


@dataclass
class FakeExecutor:
    """Runs programs in this process; fails as it is told to, and remembers what it was asked."""

    calls: list[list[Program]] = field(default_factory=list[list[Program]])
    limits: list[Limits | None] = field(default_factory=list[Limits | None])
    errors: list[Exception] = field(default_factory=list[Exception])
    """One is raised per call, the first first, before anything has run."""

    lost_per_call: list[int] = field(default_factory=list[int])
    """For each call, how many of its last results are reported as not executed."""

    silent: bool = False
    """Drops every result without an error."""

    determinism: Determinism = Determinism.YES

    @property
    def runs(self) -> int:
        """Runs that were asked for, tries again included."""
        return sum(len(program.inputs) for programs in self.calls for program in programs)

    async def execute(
        self, programs: Sequence[Program], limits: Limits | None = None
    ) -> AsyncIterator[Result]:
        self.calls.append(list(programs))
        self.limits.append(limits)
        if self.errors:
            raise self.errors.pop(0)
        lost = self.lost_per_call.pop(0) if self.lost_per_call else 0
        pairs = [(program, index) for program in programs for index in range(len(program.inputs))]
        for position, (program, index) in enumerate(pairs):
            if self.silent:
                continue
            if position >= len(pairs) - lost:
                yield Result(
                    program_id=program.program_id,
                    input_index=index,
                    status=RunStatus.NOT_EXECUTED,
                    detail="runner lost",
                )
            else:
                yield self._run(program, index)

    def _run(self, program: Program, index: int) -> Result:
        def result(status: RunStatus, value: str = "") -> Result:
            asked = program.check_determinism
            return Result(
                program_id=program.program_id,
                input_index=index,
                status=status,
                value=value,
                determinism=self.determinism if asked else Determinism.UNKNOWN,
            )

        try:
            arguments = parse_arguments(program.inputs[index])
            names: dict[str, Any] = {}
            exec(program.source, names)
            value = names["f"](*arguments.args, **arguments.kwargs)
        except TimeoutError:
            return result(RunStatus.TIMEOUT)
        except Exception:
            return result(RunStatus.ERROR)
        try:
            return result(RunStatus.OK, canonical_text(value))
        except CanonicalError:
            return result(RunStatus.OPAQUE)
