"""From how a child ended, and what it claims, to the facts of the contract."""

import signal
from dataclasses import dataclass, replace

from services.execution.frames import Done, How
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

FIELDS = 4
NAME_BYTES_MAX = 4096
MESSAGE_CHARS_MAX = 400

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


def outcome_of(done: Done, *, value_bytes: int, stdout_bytes: int) -> Outcome:
    """Judge the shape of an answer, and the end of the child that gave it."""
    facts = _ending(done)
    if facts is not None:
        return _measured(facts, done)
    answer = _parse(done.answer, value_bytes=value_bytes, stdout_bytes=stdout_bytes)
    if answer is None or (done.how, done.code) != (How.EXITED, 0):
        return _measured(Outcome(status=RunStatus.GARBLED, detail="answer"), done)
    return _measured(answer, done)


def _ending(done: Done) -> Outcome | None:
    """What follows from the end alone; None if the answer counts."""
    match done.how:
        case How.CPU:
            return Outcome(status=RunStatus.TIMEOUT, detail="cpu")
        case How.WALL:
            return Outcome(status=RunStatus.TIMEOUT, detail="wall")
        case How.FLOODED:
            return Outcome(status=RunStatus.GARBLED, detail="flood")
        case How.UNSURE:
            return Outcome(status=RunStatus.GARBLED, detail="unsure")
        case How.CANCELLED:
            return not_executed("cancelled")
        case How.SIGNALLED if not done.answer:
            return Outcome(status=RunStatus.CRASH, detail=_signal_name(done.code))
        case How.EXITED if not done.answer:
            return Outcome(status=RunStatus.CRASH, detail=f"exit code {done.code}")
        case _:
            return None


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _parse(answer: bytes, *, value_bytes: int, stdout_bytes: int) -> Outcome | None:
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


def _measured(outcome: Outcome, done: Done) -> Outcome:
    return replace(
        outcome,
        cpu_time_s=done.cpu_s,
        wall_time_s=done.wall_s,
        peak_memory_bytes=done.peak_memory_bytes,
    )


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
