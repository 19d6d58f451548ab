"""The system call filter, interpreted as the kernel would."""

import struct

import pytest

from services.execution.isolation.calls import ARCHITECTURES, DENIED, LASTING, TRACELESS
from services.execution.isolation.seccomp import (
    DRIVERS_BUFFER,
    DRIVERS_CALL,
    level_1,
    level_2,
)

ALLOW, EPERM, ENOTTY = 0x7FFF0000, 0x00050001, 0x00050019
TRAP, KILL = 0x00030000, 0x80000000
X86_64 = ARCHITECTURES["x86_64"].audit_word


def verdict(program: bytes, number: int, audit_word: int, *arguments: int, pointer: int = 0) -> int:
    """Run classic BPF on one system call that returns to `pointer`."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit_word, pointer, *words)
    accumulator, index = 0, 0
    instructions = list(struct.iter_unpack("=HBBI", program))
    while True:
        code, if_true, if_false, value = instructions[index]
        index += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x15:
                index += if_true if accumulator == value else if_false
            case 0x35:
                index += if_true if accumulator >= value else if_false
            case 0x06:
                return value
            case _:
                pytest.fail(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_listed_call_is_refused_and_every_other_allowed(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    program = level_1(machine)
    denied = {row[architecture.column] for row in DENIED.values()}

    refused = {n for n in range(600) if verdict(program, n, architecture.audit_word) == EPERM}
    allowed = {n for n in range(600) if verdict(program, n, architecture.audit_word) == ALLOW}

    assert refused == {number for number in denied if number is not None}
    assert refused | allowed == set(range(600))


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_another_calling_convention_is_refused(machine: str) -> None:
    foreign = {0x40000003, 0xC000003E, 0xC00000B7} - {ARCHITECTURES[machine].audit_word}

    assert {verdict(level_1(machine), 0, word) for word in foreign} == {EPERM}


def test_the_other_numbering_of_x86_64_is_refused() -> None:
    word = ARCHITECTURES["x86_64"].audit_word

    assert verdict(level_1("x86_64"), 0x40000000 + 56, word) == EPERM
    assert verdict(level_1("x86_64"), 0x40000000 + 1, word) == EPERM


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        level_1("riscv64")


READ, WRITE, CLOSE, PREAD, IOCTL, DUP, FCNTL, CLOSE_RANGE = 0, 1, 3, 17, 16, 32, 72, 436
BY_ARGUMENTS = {READ, WRITE, CLOSE, PREAD, IOCTL, DUP, FCNTL, CLOSE_RANGE}


def test_level_2_ends_whoever_leaves_something_behind() -> None:
    program = level_2("x86_64")
    denied = {n for n in range(600) if verdict(level_1("x86_64"), n, X86_64) == EPERM}
    expected = dict.fromkeys(range(600), TRAP)
    expected |= dict.fromkeys(TRACELESS.values(), ALLOW)
    expected |= dict.fromkeys(denied, EPERM)
    expected |= dict.fromkeys(LASTING.values(), KILL)

    found = {n: verdict(program, n, X86_64) for n in range(600) if n not in BY_ARGUMENTS}

    assert found == {n: expected[n] for n in found}
    assert not denied & set(TRACELESS.values())


def test_level_2_lets_the_driver_make_the_calls_that_it_is_told_of() -> None:
    high, low = DRIVERS_CALL
    program = level_2("x86_64")

    def found(number: int, *arguments: int, pointer: int = high << 32 | low) -> int:
        return verdict(program, number, X86_64, *arguments, pointer=pointer)

    opening, duplicating = (257,), (DUP, 6)
    assert {found(*opening), found(*duplicating), found(FCNTL, 6, 1030)} == {ALLOW}
    # No other place will do, and nobody else's rights grow there.
    assert found(*opening, pointer=low) == TRAP
    assert found(*opening, pointer=high << 32) == TRAP
    assert (found(56), found(13), found(DUP, 4)) == (EPERM, KILL, KILL)


def test_level_2_refuses_another_calling_convention() -> None:
    assert verdict(level_2("x86_64"), 13, 0x40000003) == EPERM
    assert verdict(level_2("x86_64"), 0x40000000 + 13, X86_64) == EPERM


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        *[(CLOSE, (fd,), KILL) for fd in range(6)],
        (CLOSE, (6,), ALLOW),
        (CLOSE_RANGE, (3, 100), KILL),
        (CLOSE_RANGE, (6, 100), ALLOW),
        *[(call, (fd, 0x1000), ALLOW) for call in (READ, WRITE, PREAD) for fd in (0, 2, 6, 31)],
        *[(call, (fd, 0x1000), KILL) for call in (READ, WRITE, PREAD) for fd in (3, 4, 5)],
        *[(DUP, (fd,), KILL) for fd in (3, 4, 5)],
        *[(DUP, (fd,), TRAP) for fd in (2, 6)],
        (FCNTL, (6, 1030), TRAP),
        (FCNTL, (6, 3), ALLOW),
        (FCNTL, (4, 1030), KILL),
        (FCNTL, (6, 4), KILL),
        (IOCTL, (1, 0x5401), ENOTTY),
        (IOCTL, (6, 0x5421), KILL),
        (IOCTL, (4, 0x5421), KILL),
    ],
)
def test_level_2_looks_at_descriptors(
    number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert verdict(level_2("x86_64"), number, X86_64, *arguments) == expected


@pytest.mark.parametrize("call", [READ, WRITE, PREAD])
@pytest.mark.parametrize(
    ("at", "expected"),
    [(-1, KILL), (0, ALLOW), (63, ALLOW), (64, KILL), (1 << 32, KILL), (-(1 << 32), KILL)],
)
def test_the_driver_alone_uses_its_descriptors_through_its_buffer(
    call: int, at: int, expected: int
) -> None:
    buffer = 0x7ED7_8000_1240
    known = dict(zip(DRIVERS_BUFFER, (buffer >> 32, buffer & 0xFFFFFFFF, None), strict=True))
    known[DRIVERS_BUFFER[2]] = (buffer + 64) & 0xFFFFFFFF
    instructions = struct.iter_unpack("=HBBI", level_2("x86_64"))
    filled = b"".join(
        struct.pack("=HBBI", code, if_true, if_false, known.get(value, value))
        for code, if_true, if_false, value in instructions
    )

    assert verdict(filled, call, X86_64, 4, buffer + at) == expected


def test_where_there_is_no_reset_there_is_no_level_2() -> None:
    with pytest.raises(ValueError, match="aarch64"):
        level_2("aarch64")
