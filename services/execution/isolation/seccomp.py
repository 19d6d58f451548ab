"""The level-1 system call filter, as classic BPF.

A deny-list that answers EPERM, which Python turns into an ordinary PermissionError; an
allow-list would kill harmless programs. gVisor carries the isolation, this filter keeps runs
apart from each other: no second process or thread, no sockets, no signals, no shared objects
that outlive a run.
"""

import struct
from dataclasses import dataclass

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_EPERM = 0x00050001

_NUMBER_OFFSET = 0  # of struct seccomp_data
_ARCHITECTURE_OFFSET = 4


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where a kind of processor keeps its system call numbers."""

    audit_word: int
    column: int
    """Into the table below."""

    numbers_end: int
    """Numbers from here on belong to another calling convention, such as x32."""


ARCHITECTURES = {
    "x86_64": Architecture(audit_word=0xC000003E, column=0, numbers_end=0x40000000),
    "aarch64": Architecture(audit_word=0xC00000B7, column=1, numbers_end=0x7FFFFFFF),
}

DENIED: dict[str, tuple[int | None, int | None]] = {
    # No second process, no thread, no other program.
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # No network, not even to itself.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    # No look at, and no hand on, any other process.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # No other view of the system.
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "open_by_handle_at": (304, 265),
    # No part of a kernel that is reached by nothing else.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "seccomp": (317, 277),
    "io_setup": (206, 0),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Nothing that outlives the run or that another run could find.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    # No way to change its own limits or its share of the processor.
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}


def level_1(machine: str) -> bytes:
    """Build the filter for `machine` (as `uname -m` names it), ready for prctl(2).

    Raises:
        ValueError: The machine's system calls are not known here.
    """
    if machine not in ARCHITECTURES:
        raise ValueError(f"no system call table for {machine}; known are {sorted(ARCHITECTURES)}")
    architecture = ARCHITECTURES[machine]
    column = architecture.column
    denied = sorted(number for row in DENIED.values() if (number := row[column]) is not None)
    deny = len(denied) + 1  # instructions between the first test of a number and the refusal
    program = [
        _instruction(_LOAD, _ARCHITECTURE_OFFSET),
        _instruction(_JUMP_EQUAL, architecture.audit_word, if_true=1),
        _instruction(_RETURN, _EPERM),
        _instruction(_LOAD, _NUMBER_OFFSET),
        _instruction(_JUMP_AT_LEAST, architecture.numbers_end, if_true=deny),
    ]
    for index, number in enumerate(denied):
        program.append(_instruction(_JUMP_EQUAL, number, if_true=len(denied) - index))
    program.append(_instruction(_RETURN, _ALLOW))
    program.append(_instruction(_RETURN, _EPERM))
    return b"".join(program)


def _instruction(code: int, value: int, *, if_true: int = 0) -> bytes:
    """One `struct sock_filter`; if false, the next instruction follows."""
    return struct.pack("=HBBI", code, if_true, 0, value)
