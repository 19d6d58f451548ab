"""A machine that has much else to do."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def loops_in(seconds: float) -> int:
    """How often a simple loop turns in so much processor time."""
    source = "x = 0\nfor i in range(1_000_000):\n    x += i * i\n"
    started_s = time.process_time()
    exec(compile(source, "loop", "exec"), {})
    return int(1_000_000 * seconds / (time.process_time() - started_s))


@contextmanager
def burning(processes: int) -> Iterator[None]:
    """Keep the machine busy. A session each, or the scheduler would count them as one."""
    spin = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(spin, start_new_session=True) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
