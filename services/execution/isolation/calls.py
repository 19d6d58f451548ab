"""System calls by name and number, as the filters sort them."""

from dataclasses import dataclass


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

LASTING: dict[str, int] = {
    # Other ways to read and write, which programs have no need of.
    "pwrite64": 18,
    "readv": 19,
    "writev": 20,
    "preadv": 295,
    "pwritev": 296,
    "preadv2": 327,
    "pwritev2": 328,
    "sendfile": 40,
    "splice": 275,
    "tee": 276,
    "vmsplice": 278,
    "copy_file_range": 326,
    # What a process keeps that is not memory.
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "sigaltstack": 131,
    "alarm": 37,
    "setitimer": 38,
    "timer_create": 222,
    "timerfd_create": 283,
    "dup2": 33,
    "dup3": 292,
    "flock": 73,
    "chdir": 80,
    "fchdir": 81,
    "umask": 95,
    "setuid": 105,
    "setgid": 106,
    "setreuid": 113,
    "setregid": 114,
    "setresuid": 117,
    "setresgid": 119,
    "setfsuid": 122,
    "setfsgid": 123,
    "capset": 126,
    "personality": 135,
    "mlock": 149,
    "munlock": 150,
    "mlockall": 151,
    "munlockall": 152,
    "mlock2": 325,
    "prctl": 157,
    "arch_prctl": 158,
    "shmdt": 67,
    "set_tid_address": 218,
    "set_robust_list": 273,
    "rseq": 334,
    "landlock_restrict_self": 446,
}
"""Number on x86-64."""

TRACELESS: dict[str, int] = {
    # Looks.
    "stat": 4,
    "fstat": 5,
    "lstat": 6,
    "newfstatat": 262,
    "statx": 332,
    "statfs": 137,
    "fstatfs": 138,
    "access": 21,
    "faccessat": 269,
    "faccessat2": 439,
    "readlink": 89,
    "readlinkat": 267,
    "getcwd": 79,
    "getdents": 78,
    "getdents64": 217,
    "lseek": 8,
    "uname": 63,
    "sysinfo": 99,
    "getrlimit": 97,
    "getrusage": 98,
    "times": 100,
    "getrandom": 318,
    # Who and when.
    "getpid": 39,
    "getppid": 110,
    "gettid": 186,
    "getuid": 102,
    "getgid": 104,
    "geteuid": 107,
    "getegid": 108,
    "getresuid": 118,
    "getresgid": 120,
    "getgroups": 115,
    "getpgrp": 111,
    "getpgid": 121,
    "getsid": 124,
    "getpriority": 140,
    "sched_getparam": 143,
    "sched_getscheduler": 145,
    "sched_getaffinity": 204,
    "getcpu": 309,
    "time": 201,
    "gettimeofday": 96,
    "clock_gettime": 228,
    "clock_getres": 229,
    # Waits, and the end.
    "poll": 7,
    "ppoll": 271,
    "select": 23,
    "pselect6": 270,
    "nanosleep": 35,
    "clock_nanosleep": 230,
    "sched_yield": 24,
    "futex": 202,
    "exit": 60,
    "exit_group": 231,
    # The driver's own handlers need them at any time.
    "rt_sigreturn": 15,
    "mprotect": 10,
}
"""Number on x86-64 of calls after which there is nothing to close and nothing to unmap."""
