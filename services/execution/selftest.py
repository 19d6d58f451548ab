"""Proof that every limit bites, before the first program of a caller runs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.execution.isolation.launch import SEEDS
from services.execution.isolation.pod import GVISOR_KERNEL
from services.execution.outcome import Outcome, compare, outcome_of
from services.execution.requests import order_of
from services.execution.sandbox import RunNotStartedError, Sandbox
from zeroloop.core.execution import Determinism, Isolation, Limits
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import UnavailableError

MEMORY_MIB = 128
_LIMITS = Limits(cpu_time_s=2.0, memory_mib=MEMORY_MIB)
_BUSY = Limits(cpu_time_s=0.1, wall_time_s=15.0, memory_mib=MEMORY_MIB)
_IDLE = Limits(cpu_time_s=2.0, wall_time_s=0.3, memory_mib=MEMORY_MIB)
_ENVIRONMENT = {"PATH", "PYTHONHASHSEED", "LC_ALL"}

KNOWN_PROGRAM = "def f(words, k=2):\n    return {w: len(w) for w in sorted(words)[:k]}\n"
KNOWN_INPUT = "['pear', 'fig', 'apple']"
KNOWN_VALUE = "{'apple': 5, 'fig': 3}"


@dataclass(frozen=True, slots=True)
class Proof:
    """A program, and what must become of it."""

    name: str
    body: str
    holds: Callable[[Outcome], bool]
    limits: Limits = _LIMITS


def _status(status: RunStatus, detail: str = "") -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.status is status and detail in outcome.detail


def _error(type_name: str) -> Callable[[Outcome], bool]:
    return lambda o: o.status is RunStatus.ERROR and (not type_name or o.type_name == type_name)


def _truncated(outcome: Outcome) -> bool:
    full = len(outcome.stdout) == _LIMITS.stdout_bytes
    return outcome.status is RunStatus.OK and outcome.stdout_truncated and full


PROOFS = [
    Proof("endless loop", "while True: pass", _status(RunStatus.TIMEOUT, "cpu"), _BUSY),
    Proof("sleep", "from time import sleep; sleep(9)", _status(RunStatus.TIMEOUT, "wall"), _IDLE),
    Proof("8 GiB block", "bytearray(8 << 30)", _status(RunStatus.OOM)),
    Proof(
        "0.8 times the memory limit",
        f"bytearray({MEMORY_MIB << 20} * 8 // 10)",
        _status(RunStatus.OK),
    ),
    Proof(
        "1.2 times the memory limit",
        f"bytearray({MEMORY_MIB << 20} * 12 // 10)",
        _status(RunStatus.OOM),
    ),
    Proof("write a file", "open('/tmp/x', 'w')", _error("")),
    Proof("open 64 files", "x = [open('/dev/null') for _ in range(64)]", _error("OSError")),
    Proof(
        "raise a limit",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        _error(""),
    ),
    Proof("fork", "import os; os.fork()", _error("PermissionError")),
    Proof("socket", "import _socket; _socket.socket()", _error("PermissionError")),
    Proof("kill itself", "import os; os.kill(os.getpid(), 9)", _error("PermissionError")),
    Proof("thread", "import _thread; _thread.start_new_thread(f, ())", _error("RuntimeError")),
    Proof("print 1 MiB", "print('x' * (1 << 20))", _truncated),
    Proof("return 1 MiB", "return 'x' * (1 << 20)", _status(RunStatus.TOOLARGE)),
    Proof(
        "environment",
        "import os; return sorted(os.environ)",
        lambda o: o.status is RunStatus.OK and set(_names(o.value)) == _ENVIRONMENT,
    ),
    Proof("password file", "open('/etc/passwd')", _error("FileNotFoundError")),
]

_KERNEL = Proof(
    "kernel identification",
    "import os; return os.uname().version",
    lambda outcome: outcome.value == repr(GVISOR_KERNEL),
)


def _names(value: str) -> list[str]:
    return [name for name in value.strip("[]").replace("'", "").split(", ") if name]


async def prove(sandbox: Sandbox, *, isolation: Isolation, workers: int) -> None:
    """Run every proof.

    Raises:
        UnavailableError: Names each proof that failed, and what happened instead.
    """
    proofs = PROOFS + ([_KERNEL] if isolation is Isolation.GVISOR else [])
    waiting = iter(proofs)
    failures: list[str] = []

    async def work() -> None:
        for proof in waiting:
            outcome = await _run(sandbox, f"def f():\n    {proof.body}\n", "", proof.limits)
            if not proof.holds(outcome):
                failures.append(f"{proof.name} gave {_words(outcome)}")

    await asyncio.gather(*(work() for _ in range(workers)))
    known = [await _run(sandbox, KNOWN_PROGRAM, KNOWN_INPUT, _LIMITS, seed) for seed in SEEDS]
    if known[0].value != KNOWN_VALUE or compare(*known) is not Determinism.YES:
        failures.append(f"known program gave {' and '.join(map(_words, known))}")
    if failures:
        raise UnavailableError(f"self-test failed: {'; '.join(failures)}")


async def _run(
    sandbox: Sandbox, source: str, text: str, limits: Limits, seed: int = SEEDS[0]
) -> Outcome:
    order = order_of(source, text, limits)
    assert not isinstance(order, Outcome)
    try:
        done = await sandbox.run(order, seed)
    except RunNotStartedError as error:
        raise UnavailableError(f"self-test failed: {error}") from error
    return outcome_of(done, value_bytes=order.value_bytes, stdout_bytes=order.stdout_bytes)


def _words(outcome: Outcome) -> str:
    parts = (outcome.status, outcome.type_name, outcome.message, outcome.detail, outcome.value)
    return " ".join(part[:80] for part in parts if part)
