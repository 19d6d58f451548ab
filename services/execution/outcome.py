"""From how a child ended, and what it claims, to the facts of the contract."""

import signal
from dataclasses import dataclass
from typing import TypedDict

from services.execution.frames import Done, How
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

FIELDS = 4
NAME_BYTES_MAX = 4096
MESSAGE_CHARS_MAX = 400
PERHAPS_CPU = "perhaps cpu"
"""Detail of a time-out that is odd. No caller sees it."""

_CLAIMS = {
    b"o": RunStatus.OK,
    b"e": RunStatus.ERROR,
    b"m": RunStatus.OOM,
    b"l": RunStatus.TOOLARGE,
    b"p": RunStatus.OPAQUE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one execution gave. Its fields are those of `zeroloop.core.execution.Result`."""

    status: RunStatus
    value: str = ""
    type_name: str = ""
    message: str = ""
    detail: str = ""
    stdout: bytes = b""
    stdout_truncated: bool = False
    cpu_time_s: float = 0.0
    wall_time_s: float = 0.0
    peak_memory_bytes: int = 0
    mode: Mode = Mode.STRICT


class _Costs(TypedDict):
    """Beside what a run gave: what it took, and where it ran."""

    cpu_time_s: float
    wall_time_s: float
    peak_memory_bytes: int
    mode: Mode


def not_executed(reason: str) -> Outcome:
    """The platform's fault."""
    return Outcome(status=RunStatus.NOT_EXECUTED, detail=reason)


def rejected_input(message: str) -> Outcome:
    """The input is not data; the program never began."""
    return Outcome(
        status=RunStatus.ERROR,
        type_name="LiteralError",
        message=message[:MESSAGE_CHARS_MAX],
        detail="input",
    )


def outcome_of(
    done: Done, *, value_bytes: int, stdout_bytes: int, mode: Mode = Mode.STRICT
) -> Outcome:
    """Judge the shape of an answer, and the end of the child that gave it."""
    costs = _Costs(
        cpu_time_s=done.cpu_s,
        wall_time_s=done.wall_s,
        peak_memory_bytes=done.peak_memory_bytes,
        mode=mode,
    )
    if (ending := _ending(done)) is not None:
        status, detail = ending
        return Outcome(status=status, detail=detail, **costs)
    outcome = None
    if (done.how, done.code) == (How.EXITED, 0):
        outcome = _parse(done.answer, costs, value_bytes=value_bytes, stdout_bytes=stdout_bytes)
    return outcome or Outcome(status=RunStatus.GARBLED, detail="answer", **costs)


def _ending(done: Done) -> tuple[RunStatus, str] | None:
    """What follows from the end alone, with its detail; None if the answer counts."""
    match done.how:
        case How.EXITED | How.SIGNALLED if done.answer:
            return None
        case How.EXITED:
            return RunStatus.CRASH, f"exit code {done.code}"
        case How.SIGNALLED:
            return RunStatus.CRASH, _signal_name(done.code)
        case How.CPU:
            return RunStatus.TIMEOUT, "cpu"
        case How.PERHAPS_CPU:
            return RunStatus.TIMEOUT, PERHAPS_CPU
        case How.WALL:
            return RunStatus.TIMEOUT, "wall"
        case How.FLOODED:
            return RunStatus.GARBLED, "flood"
        case How.UNSURE:
            return RunStatus.GARBLED, "unsure"
        case How.CANCELLED:
            return RunStatus.NOT_EXECUTED, "cancelled"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _parse(answer: bytes, costs: _Costs, *, value_bytes: int, stdout_bytes: int) -> Outcome | None:
    """Read an answer; None if anything of it is not as it must be."""
    fields = _fields(answer[2:])
    status = _CLAIMS.get(answer[:1])
    if fields is None or status is None or answer[1:2] not in (b"\0", b"\1"):
        return None
    name, message, value, stdout = fields
    if len(name) > NAME_BYTES_MAX or len(value) > value_bytes or len(stdout) > stdout_bytes:
        return None
    if bool(value) != (status is RunStatus.OK):
        return None
    try:
        value_text = value.decode()
    except UnicodeDecodeError:
        return None
    return Outcome(
        status=status,
        value=value_text,
        type_name=name.decode(errors="replace"),
        message=message.decode(errors="replace")[:MESSAGE_CHARS_MAX],
        detail=f"more than {value_bytes} bytes" if status is RunStatus.TOOLARGE else "",
        stdout=stdout,
        stdout_truncated=answer[1:2] == b"\1",
        **costs,
    )


def _fields(data: bytes) -> list[bytes] | None:
    fields: list[bytes] = []
    for _ in range(FIELDS):
        end = 4 + int.from_bytes(data[:4], "little")
        if len(data) < max(end, 4):
            return None
        fields.append(data[4:end])
        data = data[end:]
    return None if data else fields


def compare(first: Outcome, second: Outcome) -> Determinism:
    """Whether two executions under different hash seeds agree in everything but their cost.

    A time limit depends on the machine's load, so it proves nothing either way.
    """
    undecided = {RunStatus.TIMEOUT, RunStatus.NOT_EXECUTED}
    if first.status in undecided or second.status in undecided:
        return Determinism.UNKNOWN
    return Determinism.YES if _facts(first) == _facts(second) else Determinism.NO


def _facts(outcome: Outcome) -> tuple[object, ...]:
    return (
        outcome.status,
        outcome.value,
        outcome.type_name,
        outcome.message,
        outcome.detail,
        outcome.stdout,
        outcome.stdout_truncated,
    )
