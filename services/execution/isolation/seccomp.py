"""The system call filters, as classic BPF.

A deny-list that answers EPERM, which Python turns into an ordinary PermissionError; an
allow-list would kill harmless programs. gVisor carries the isolation, this filter keeps runs
apart from each other: no second process or thread, no sockets, no signals, no shared objects
that outlive a run.
"""

import itertools
import struct

from services.execution.isolation.calls import ARCHITECTURES, DENIED, LASTING, TRACELESS

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_EPERM = 0x00050001
_ENOTTY = 0x00050019
_KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_TRAP = 0x00030000  # SECCOMP_RET_TRAP

_NUMBER_OFFSET = 0  # of struct seccomp_data
_ARCHITECTURE_OFFSET = 4
_POINTER_OFFSET = 8
_ARGUMENT_OFFSETS = (16, 24)


def level_1(machine: str) -> bytes:
    """Build the filter for `machine` (as `uname -m` names it), ready for prctl(2).

    Raises:
        ValueError: The machine's system calls are not known here.
    """
    return _deny(machine, [_instruction(_RETURN, _ALLOW)])


def _deny(machine: str, others: list[bytes]) -> bytes:
    """Answer EPERM to what is denied; `others` answers all the rest."""
    if machine not in ARCHITECTURES:
        raise ValueError(f"no system call table for {machine}; known are {sorted(ARCHITECTURES)}")
    architecture = ARCHITECTURES[machine]
    column = architecture.column
    denied = sorted(number for row in DENIED.values() if (number := row[column]) is not None)
    # Instructions between the first test of a number and the refusal.
    deny = len(denied) + len(others)
    program = [
        _instruction(_LOAD, _ARCHITECTURE_OFFSET),
        _instruction(_JUMP_EQUAL, architecture.audit_word, if_true=1),
        _instruction(_RETURN, _EPERM),
        _instruction(_LOAD, _NUMBER_OFFSET),
        _instruction(_JUMP_AT_LEAST, architecture.numbers_end, if_true=deny),
    ]
    for index, number in enumerate(denied):
        program.append(_instruction(_JUMP_EQUAL, number, if_true=deny - index - 1))
    return b"".join([*program, *others, _instruction(_RETURN, _EPERM)])


RESETTABLE = ("x86_64",)
"""Machines for which mode `reset` exists."""

OWN_FDS_END = 6
"""Descriptors of a worker below this are its own, see `guest/snapshot.h`."""

CHANNEL_FDS = (3, 6)
"""From the first up to the second: those that lead to the supervisor, or tell of memory."""

DRIVERS_BUFFER = (0x5A4C0001, 0x5A4C0002, 0x5A4C0003)
"""Stand for the driver's own buffer, which it alone knows: the upper half of its address, the lower
one, and the lower one of its end."""

DRIVERS_CALL = (0x5A4C0004, 0x5A4C0005)
"""Stand for where the driver's own calls return to: upper half of that address, and lower."""

_READ, _WRITE, _PREAD, _CLOSE, _IOCTL, _DUP, _FCNTL, _CLOSE_RANGE = 0, 1, 17, 3, 16, 32, 72, 436
_HARMLESS_IOCTLS = {0x5401: _ENOTTY, 0x5413: _ENOTTY, 0x5450: _ALLOW, 0x5451: _ALLOW}
"""TCGETS and TIOCGWINSZ, which ask whether this is a terminal; FIONCLEX and FIOCLEX."""

_HARMLESS_FCNTLS = {0: _TRAP, 1: _ALLOW, 2: _ALLOW, 3: _ALLOW, 1030: _TRAP}
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC."""


def level_2(machine: str) -> bytes:
    """Build the filter of mode `reset`: level 1, and nothing that putting memory back leaves.

    Such a call ends the worker, and so the program runs in `strict`, where it is allowed: it ends
    there as it should. So does whoever closes a worker's own descriptors; of those that lead to the
    supervisor only the driver reads and writes, into its own buffer.

    A call that may open or map something is trapped: the driver makes it for the program, and looks
    after the run for what is left. All are but those that are known to leave nothing.

    Raises:
        ValueError: There is no such mode on this machine.
    """
    if machine not in RESETTABLE:
        raise ValueError(f"mode reset exists on {RESETTABLE}, not on {machine}")
    lasting = [
        *(_on_number(n, [*_unless_channel(), *_drivers_own()]) for n in (_READ, _WRITE, _PREAD)),
        _on_number(_DUP, [*_kill_on_channel(), *_trap()]),
        _on_number(_CLOSE, _kill_below(OWN_FDS_END)),
        _on_number(_CLOSE_RANGE, _kill_below(OWN_FDS_END)),
        _on_number(_IOCTL, _one_of(_HARMLESS_IOCTLS)),
        _on_number(_FCNTL, _one_of(_HARMLESS_FCNTLS)),
        *(_on_number(number, [_instruction(_RETURN, _KILL)]) for number in LASTING.values()),
    ]
    prologue = [
        _instruction(_LOAD, _ARCHITECTURE_OFFSET),
        _instruction(_JUMP_EQUAL, ARCHITECTURES[machine].audit_word, if_true=1),
        _instruction(_RETURN, _EPERM),
        _instruction(_LOAD, _NUMBER_OFFSET),
    ]
    traceless = [_on_number(n, [_instruction(_RETURN, _ALLOW)]) for n in TRACELESS.values()]
    others = [*itertools.chain.from_iterable(traceless), *_trap()]
    return b"".join([*prologue, *(b"".join(block) for block in lasting)]) + _deny(machine, others)


def _on_number(number: int, block: list[bytes]) -> list[bytes]:
    """For this system call, a block that ends with an answer; it may load something else."""
    return [_instruction(_JUMP_EQUAL, number, if_false=len(block)), *block]


def _unless_channel() -> list[bytes]:
    """Allow a call on any other descriptor; else the next instruction follows."""
    first, end = CHANNEL_FDS
    return [
        _instruction(_LOAD, _ARGUMENT_OFFSETS[0]),
        _instruction(_JUMP_AT_LEAST, end, if_true=1),
        _instruction(_JUMP_AT_LEAST, first, if_true=1),
        _instruction(_RETURN, _ALLOW),
    ]


def _drivers_own() -> list[bytes]:
    """Allow what goes into or out of the driver's buffer, and nothing else."""
    high, low, end = DRIVERS_BUFFER
    return [
        _instruction(_LOAD, _ARGUMENT_OFFSETS[1] + 4),
        _instruction(_JUMP_EQUAL, high, if_false=4),
        _instruction(_LOAD, _ARGUMENT_OFFSETS[1]),
        _instruction(_JUMP_AT_LEAST, end, if_true=2),
        _instruction(_JUMP_AT_LEAST, low, if_false=1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _KILL),
    ]


def _kill_below(end: int) -> list[bytes]:
    """Allow what is done with other descriptors than a worker's own."""
    return [
        _instruction(_LOAD, _ARGUMENT_OFFSETS[0]),
        _instruction(_JUMP_AT_LEAST, end, if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_RETURN, _ALLOW),
    ]


def _kill_on_channel() -> list[bytes]:
    """On any other descriptor the next instruction follows."""
    first, end = CHANNEL_FDS
    return [
        _instruction(_LOAD, _ARGUMENT_OFFSETS[0]),
        _instruction(_JUMP_AT_LEAST, end, if_true=2),
        _instruction(_JUMP_AT_LEAST, first, if_false=1),
        _instruction(_RETURN, _KILL),
    ]


def _one_of(answers: dict[int, int]) -> list[bytes]:
    """By the second argument; any other ends the worker."""
    block = [*_kill_on_channel(), _instruction(_LOAD, _ARGUMENT_OFFSETS[1])]
    for value, answer in answers.items():
        given = _trap() if answer == _TRAP else [_instruction(_RETURN, answer)]
        block += _on_number(value, given)
    return [*block, _instruction(_RETURN, _KILL)]


def _trap() -> list[bytes]:
    """Tell the driver, unless it makes the call itself."""
    high, low = DRIVERS_CALL
    return [
        _instruction(_LOAD, _POINTER_OFFSET),
        _instruction(_JUMP_EQUAL, low, if_false=3),
        _instruction(_LOAD, _POINTER_OFFSET + 4),
        _instruction(_JUMP_EQUAL, high, if_false=1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _TRAP),
    ]


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`; how many instructions to leave out, by what a jump finds."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
