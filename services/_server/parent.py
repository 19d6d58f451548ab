"""Ending with the parent process, whatever ended it."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int | None = None) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends. Linux only.

    Args:
        parent_pid: The parent at the time of the call, if the caller knows it. If it has
            ended already this process ends at once.
    """
    expected = parent_pid if parent_pid is not None else os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != expected:
        os.kill(os.getpid(), signal.SIGTERM)
