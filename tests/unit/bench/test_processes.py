"""What processes cost, on real ones."""

import ctypes
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

from tests.bench.executing.processes import tree_of
from tests.cluster.processes import memory_bytes

CLONE_VM = 0x100
STACK_BYTES = 1 << 16


@contextmanager
def child_in_our_memory() -> Generator[int]:
    """A process of its own that waits in this one's address space, as gVisor makes them."""
    libc = ctypes.CDLL(None, use_errno=True)
    stack = ctypes.create_string_buffer(STACK_BYTES)
    top = (ctypes.addressof(stack) + STACK_BYTES) & ~15
    wait = ctypes.cast(libc.pause, ctypes.c_void_p)
    pid = libc.clone(wait, ctypes.c_void_p(top), CLONE_VM | signal.SIGCHLD, None)
    assert pid > 0, os.strerror(ctypes.get_errno())
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_an_address_space_counts_once() -> None:
    with child_in_our_memory() as pid:
        alone = memory_bytes([pid])
        both = memory_bytes(tree_of(os.getpid()))

    assert alone > 10 << 20
    assert both < 1.5 * alone


def test_memory_of_another_process_is_added() -> None:
    alone = memory_bytes(tree_of(os.getpid()))
    pid = os.fork()
    if pid == 0:
        _ = bytearray(32 << 20)  # written to, so it is the child's own
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        os.waitpid(pid, os.WUNTRACED)
        both = memory_bytes(tree_of(os.getpid()))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert both > alone + (24 << 20)
