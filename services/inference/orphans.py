"""No engine without its service: a process of the engine ends when its parent does.

vLLM's core is a spawned child. If the service is killed outright it cannot stop the core,
which would keep its memory and wait for ever. A signal at the parent's death
(PR_SET_PDEATHSIG) is of no use: it fires when the parent's *thread* ends that started the
child, and the thread that starts an engine is short-lived.
"""

import os
import signal
import threading

CHECK_EVERY_S = 0.5


def end_when_orphaned(parent_pid: int) -> None:
    """Kill this process within a second of the end of `parent_pid`, its parent."""

    def watch() -> None:
        timer = threading.Event()
        # An orphan gets another parent: init, or a reaper nearer by.
        while os.getppid() == parent_pid:
            timer.wait(CHECK_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()
