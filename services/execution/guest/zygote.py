"""The zygote of mode `reset`: an interpreter, warmed up, that becomes the driver's.

It is forked from the supervisor before the first order, so it holds nothing of anybody. It loads
what programs use, fills what is free in its memory, so that programs' own objects lie at its end,
and hands over to `driver.c` for good.
"""

# ruff: noqa: TC004 (files here are run in one namespace, not imported)

import gc
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would double the zygote
    from collections.abc import Callable
    from typing import Any, NoReturn

    from services.execution.guest.area import Order, pack
    from services.execution.guest.child import NO_MEMORY, Runner, extension, make_runner, quiet

NULL_FD, SLOTS_FD, STATM_FD = 64, 70, 5
PAGE_BYTES = 4096

MODULES = (
    "_bisect", "_collections_abc", "_datetime", "_decimal", "_heapq", "_json", "_random", "_struct",
    "abc", "array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "heapq", "itertools", "json", "keyword", "math", "numbers",
    "operator", "random", "re", "reprlib", "statistics", "string", "textwrap", "time", "types",
    "typing", "zlib",
)  # fmt: skip
"""Loaded once and for all: a library that a program loads would remain, and cost its worker."""

LESSONS = (
    b"def f(a, b): return sorted(a)[:b]",
    b"def f(a, b): return {str(x): [x, float(x)] for x in a}, sum(a) / len(a), set(a), b ** 70",
    b"def f(a, b):\n print(a, b)\n raise ValueError('no')",
    b"import math, re\ndef f(a, b): return math.sqrt(b), re.findall('.', 'ab')",
    b"from collections import Counter\ndef f(a, b): return Counter(a).most_common()",
    b"class C:\n def __init__(self, x): self.x = x\ndef f(a, b): return [C(x).x for x in a]",
    b"def f(a, b): return f'{b:>5}', ' '.join(map(str, a)), b'x' * b",
    b"def f(a, b): return g(a, b)",
    b"def f(a, b): return f(a, b)",
    b"def f(a, b): return [[0] * 50 for _ in range(200)], list(range(2000))",
)
"""From these the driver learns which pages programs change."""

LESSON_ARGUMENTS = b"(([5, 3, 9, 1], 2), {})"


def open_proc(here: str) -> int:
    """Programs see no procfs. Ours is behind a folder that only we may enter."""
    try:
        fd = posix.open(here + "/private/proc", posix.O_RDONLY)
        posix.close(posix.open("self/maps", posix.O_RDONLY, dir_fd=fd))
    except FileNotFoundError:  # nobody has mounted it: without isolation there is the host's
        fd = posix.open("/proc", posix.O_RDONLY)
    return fd


def arrange(here: str, commands_fd: int, reports_fd: int, slots: list[int]) -> None:
    """Lay the descriptors out as `driver.c` wants them, and close all others."""
    null_fd = posix.open("/dev/null", posix.O_RDWR)
    proc_fd = open_proc(here)
    statm_fd = posix.open("self/statm", posix.O_RDONLY, dir_fd=proc_fd)
    wanted = dict(enumerate((null_fd, commands_fd, reports_fd, proc_fd), NULL_FD))
    wanted.update(enumerate(slots, SLOTS_FD))
    wanted.update({0: null_fd, 1: null_fd, 2: null_fd, STATM_FD: statm_fd})
    # First out of the way, so that nothing is overwritten before it has moved.
    high = max(wanted) + 1
    moved = {fd: high + place for place, fd in enumerate({*wanted.values()})}
    for fd, away in moved.items():
        posix.dup2(fd, away)
    posix.closerange(0, high)
    for at, fd in wanted.items():
        posix.dup2(moved[fd], at)
    posix.closerange(high, high + len(moved))


def statm() -> list[int]:
    """Bytes that are mapped and resident, as the kernel counts them."""
    return [int(word) * PAGE_BYTES for word in posix.pread(STATM_FD, 64, 0).split()[:2]]


def fill_pools(newest_arena: "Callable[[], int]") -> list[object]:
    """Take all free blocks of Python's allocator, until each size gets them in a new arena."""
    kept: list[object] = []
    old = newest_arena()
    for size in range(512, 32, -16):
        while True:
            block = bytes(size - 33)  # of `size` bytes in all
            kept.append(block)
            if old < newest_arena() <= id(block):
                break
    for make in (object, float):  # 16 and 32 bytes
        for _ in range(1 << 16):
            block = make("1.5") if make is float else make()
            kept.append(block)
            if newest_arena() <= id(block):
                break
    return kept


def become_zygote(
    here: str, load: "Callable[..., dict[str, Any]]", given: list[int], preload: list[str]
) -> "NoReturn":
    """Never returns."""
    arrange(here, given[0], given[1], given[2:])
    base_bytes, _ = statm()
    driver = extension(here + "/driver.so", "driver")
    driver.own_memory()
    runner: Runner = make_runner(load)
    for name in (*MODULES, *preload):
        try:
            __import__(name)
        except ImportError:
            pass  # this interpreter has none
    quiet()

    def call(source: bytes, arguments: bytes, stdout_bytes: int, value_bytes: int) -> bytes:
        try:
            return runner.answer(source, arguments, stdout_bytes, value_bytes)
        except MemoryError:
            return NO_MEMORY

    for source in LESSONS:
        call(source, LESSON_ARGUMENTS, 64, 1 << 16)
    lessons = [Order(source, LESSON_ARGUMENTS, 64, 1 << 16) for source in LESSONS * 2]
    with open(here + "/reset.bpf", "rb") as file:
        rules = file.read()
    gc.collect()
    gc.freeze()
    image = pack(lessons)
    kept = fill_pools(driver.newest_arena)
    driver.fill_heap()
    gc.enable()
    _, resident_bytes = statm()
    driver.serve(call, image, rules, base_bytes, resident_bytes)
    raise SystemExit(f"unreachable, but for {len(kept)} and {sys.version}")
