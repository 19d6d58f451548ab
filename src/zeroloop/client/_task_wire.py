"""Tasks and the words about them, from values to messages and back."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task
from zeroloop.errors import invalid
from zeroloop.task.v1 import task_pb2

E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", bound=int)


class EnumTable(Generic[E, N]):
    """The two directions between an enum of values and the numbers of a proto enum."""

    def __init__(self, number_of: Mapping[E, N]) -> None:
        self._number_of = number_of
        self._value_of: dict[int, E] = {number: value for value, number in number_of.items()}

    def to_pb(self, value: E) -> N:
        """The proto number of `value`."""
        return self._number_of[value]

    def from_pb(self, number: int, field: str) -> E:
        """The value of `number`.

        Raises:
            InvalidRequestError: It is unspecified or unknown; names `field`.
        """
        if number not in self._value_of:
            known = ", ".join(self._number_of)
            raise invalid(field, f"must be one of {known}, got the unknown number {number}")
        return self._value_of[number]


KINDS = EnumTable(
    {
        Kind.ABDUCTION: task_pb2.KIND_ABDUCTION,
        Kind.DEDUCTION: task_pb2.KIND_DEDUCTION,
        Kind.INDUCTION: task_pb2.KIND_INDUCTION,
    }
)

ROLES = EnumTable({Role.PROPOSER: task_pb2.ROLE_PROPOSER, Role.SOLVER: task_pb2.ROLE_SOLVER})

OUTCOMES = EnumTable(
    {
        Outcome.CORRECT: task_pb2.OUTCOME_CORRECT,
        Outcome.WRONG: task_pb2.OUTCOME_WRONG,
        Outcome.MALFORMED: task_pb2.OUTCOME_MALFORMED,
        Outcome.NOT_EXECUTED: task_pb2.OUTCOME_NOT_EXECUTED,
    }
)


def task_to_pb(task: Task) -> task_pb2.Task:
    """Return the message for `task`."""
    return task_pb2.Task(
        task_id=task.task_id,
        domain=task.domain,
        kind=KINDS.to_pb(task.kind),
        program=task.program,
        imports=task.imports,
        cases=[task_pb2.Case(input=case.input, output=case.output) for case in task.cases],
        message=task.message,
        shown=task.shown,
        thought=task.thought,
        composites=task.composites,
    )


def task_from_pb(message: task_pb2.Task, field: str = "task") -> Task:
    """Return the task that `message` carries.

    Raises:
        InvalidRequestError: Its kind is unspecified; names the field below `field`.
    """
    return Task(
        task_id=message.task_id,
        domain=message.domain,
        kind=KINDS.from_pb(message.kind, f"{field}.kind"),
        program=message.program,
        imports=tuple(message.imports),
        cases=tuple(Case(case.input, case.output) for case in message.cases),
        message=message.message,
        shown=message.shown,
        thought=message.thought,
        composites=tuple(message.composites),
    )
