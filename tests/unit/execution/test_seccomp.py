"""The system call filter, interpreted as the kernel would."""

import struct

import pytest

from services.execution.isolation.seccomp import ARCHITECTURES, DENIED, level_1

ALLOW, EPERM = 0x7FFF0000, 0x00050001


def verdict(program: bytes, number: int, audit_word: int) -> int:
    """Run classic BPF on one system call."""
    data = struct.pack("=II", number, audit_word)
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
