"""Checking what callers ask for, and turning each input into an order for a sandbox."""

import hashlib
from collections.abc import Sequence

from services.execution.frames import NOBODY, TENANT_BYTES, RunOrder
from services.execution.outcome import Outcome, rejected_input
from zeroloop.core.canonical import CanonicalError, canonical_text
from zeroloop.core.execution import (
    INPUT_BYTES_MAX,
    INPUTS_MAX,
    PROGRAM_ID_BYTES_MAX,
    PROGRAMS_MAX,
    SOURCE_BYTES_MAX,
    Limits,
    Mode,
    Program,
)
from zeroloop.core.literals import LiteralError, parse_arguments
from zeroloop.errors import InvalidRequestError, Violation

ARGUMENTS_BYTES_MAX = 1 << 20
"""Written out, an input may be longer than it was: `list(range(9999))`."""

NESTING_SAFE = 150
"""Opening brackets up to which CPython's parser surely reads what we wrote."""

_RANGES: dict[str, tuple[float, float]] = {
    "cpu_time": (0.05, 60.0),
    "wall_time": (0.05, 300.0),
    "memory_mib": (64, 4096),
    "stdout_bytes": (0, 1 << 20),
    "value_bytes": (1, 1 << 20),
}


def check(programs: Sequence[Program], limits: Limits) -> None:
    """Refuse what is out of bounds, naming every field.

    Raises:
        InvalidRequestError: See its violations.
    """
    violations = [*_limit_violations(limits)]
    if len(programs) > PROGRAMS_MAX:
        violations.append(_violation("programs", f"at most {PROGRAMS_MAX}", len(programs)))
    for index, program in enumerate(programs):
        violations += _program_violations(f"programs[{index}]", program)
    names = [program.program_id or str(index) for index, program in enumerate(programs)]
    if len(set(names)) < len(names):
        problem = "each program_id may be given once; without one it is the program's index"
        violations.append(Violation("programs", problem))
    if violations:
        text = "; ".join(f"{v.field}: {v.problem}" for v in violations)
        raise InvalidRequestError(text, violations)


def check_results_per_message(wanted: int) -> int:
    """How many results a message may hold.

    Raises:
        InvalidRequestError: Less than none, or more than there may be programs.
    """
    if not 0 <= wanted <= PROGRAMS_MAX:
        name, problem = "results_per_message_max", f"must be between 0 and {PROGRAMS_MAX}"
        raise InvalidRequestError(
            f"{name}: {problem}, got {wanted}", [Violation(name, f"{problem}, got {wanted}")]
        )
    return wanted


def repeated_id(name: str) -> InvalidRequestError:
    """What to raise when a stream has two programs of one name."""
    problem = f"each may be given once; without one it is the program's number, got {name!r} again"
    return InvalidRequestError(
        f"program.program_id: {problem}", [Violation("program.program_id", problem)]
    )


def check_mode(mode: str, offered: Sequence[Mode]) -> Mode:
    """The mode to run in; the best one if none is named.

    Raises:
        InvalidRequestError: It is not offered here.
    """
    if not mode:
        return offered[0]
    if mode not in offered:
        problem = f"offered here are {', '.join(offered)}, got {mode[:40]!r}"
        raise InvalidRequestError(f"mode: {problem}", [Violation("mode", problem)])
    return Mode(mode)


def _limit_violations(limits: Limits) -> list[Violation]:
    got = {
        "cpu_time": limits.cpu_time_s,
        "wall_time": limits.wall_s,
        "memory_mib": limits.memory_mib,
        "stdout_bytes": limits.stdout_bytes,
        "value_bytes": limits.value_bytes,
    }
    violations = [
        Violation(
            f"limits.{name}", f"must be between {low:.10g} and {high:.10g}, got {got[name]:.10g}"
        )
        for name, (low, high) in _RANGES.items()
        if not low <= got[name] <= high
    ]
    if limits.wall_s < limits.cpu_time_s:
        problem = f"must be at least cpu_time ({limits.cpu_time_s:g} s), got {limits.wall_s:g} s"
        violations.append(Violation("limits.wall_time", problem))
    return violations


def _program_violations(field: str, program: Program) -> list[Violation]:
    violations: list[Violation] = []
    id_bytes = len(program.program_id.encode())
    if id_bytes > PROGRAM_ID_BYTES_MAX:
        limit = f"at most {PROGRAM_ID_BYTES_MAX} bytes"
        violations.append(_violation(f"{field}.program_id", limit, id_bytes))
    source_bytes = len(program.source.encode(errors="replace"))
    if source_bytes > SOURCE_BYTES_MAX:
        limit = f"at most {SOURCE_BYTES_MAX} bytes"
        violations.append(_violation(f"{field}.source", limit, source_bytes))
    if not 1 <= len(program.inputs) <= INPUTS_MAX:
        limit = f"between 1 and {INPUTS_MAX}; without arguments it is one empty text"
        violations.append(_violation(f"{field}.inputs", limit, len(program.inputs)))
    for index, text in enumerate(program.inputs):
        input_bytes = len(text.encode(errors="replace"))
        if input_bytes > INPUT_BYTES_MAX:
            limit = f"at most {INPUT_BYTES_MAX} bytes"
            violations.append(_violation(f"{field}.inputs[{index}]", limit, input_bytes))
    return violations


def _violation(field: str, limit: str, got: int) -> Violation:
    return Violation(field, f"{limit}, got {got}")


def digest_of(tenant: str) -> bytes:
    """How a sandbox knows a tenant; nobody in particular is a tenant, too."""
    return hashlib.sha256(tenant.encode()).digest()[:TENANT_BYTES] if tenant else NOBODY


def order_of(source: str, text: str, limits: Limits, tenant: bytes = NOBODY) -> RunOrder | Outcome:
    """Parse an input and write it anew, or say why it is no input."""
    try:
        arguments = parse_arguments(text, bytes_max=INPUT_BYTES_MAX)
        written = canonical_text((arguments.args, arguments.kwargs), bytes_max=ARGUMENTS_BYTES_MAX)
    except (LiteralError, CanonicalError) as error:
        return rejected_input(str(error))
    if sum(map(written.count, "([{")) > NESTING_SAFE and not _readable(written):
        return rejected_input("nested too deeply")
    return RunOrder(
        source=source.encode(errors="replace"),
        arguments=written.encode(),
        cpu_s=limits.cpu_time_s,
        wall_s=limits.wall_s,
        memory_bytes=limits.memory_mib << 20,
        stdout_bytes=limits.stdout_bytes,
        value_bytes=limits.value_bytes,
        tenant=tenant,
    )


def _readable(expression: str) -> bool:
    try:
        compile(expression, "<input>", "eval")
    except (SyntaxError, MemoryError, RecursionError):
        return False
    return True
