"""Proof that every limit bites, before the first program of a caller runs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from services.execution.flight import End, RunNotStartedError
from services.execution.frames import Done, RunOrder
from services.execution.isolation.launch import SEEDS
from services.execution.isolation.pod import GVISOR_KERNEL
from services.execution.outcome import Outcome, compare, outcome_of
from services.execution.requests import order_of
from services.execution.sandbox import Sandbox
from zeroloop.core.execution import Determinism, Isolation, Limits
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import UnavailableError

MEMORY_MIB = 128
_DEFAULT_MIB = Limits().memory_mib
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
    input_text: str = ""
    of_memory: bool = False
    strict_alone: bool = False
    """It asks the kernel for what a memory put back would not undo, or loads a library for good:
    in `reset` it would end its worker, and so is left to `strict` there as well."""

    @property
    def source(self) -> str:
        """A body that defines `f` itself is taken as it is."""
        return self.body if "def f(" in self.body else f"def f():\n    {self.body}\n"


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
        of_memory=True,
    ),
    Proof(
        "1.2 times the memory limit",
        f"bytearray({MEMORY_MIB << 20} * 12 // 10)",
        _status(RunStatus.OOM),
        of_memory=True,
    ),
    Proof("write a file", "open('/tmp/x', 'w')", _error("")),
    Proof("open 64 files", "x = [open('/dev/null') for _ in range(64)]", _error("OSError")),
    Proof(
        "raise a limit",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        _error(""),
        strict_alone=True,
    ),
    Proof("fork", "import os; os.fork()", _error("PermissionError")),
    Proof(
        *("socket", "import _socket; _socket.socket()", _error("PermissionError")),
        strict_alone=True,
    ),
    Proof("kill itself", "import os; os.kill(os.getpid(), 9)", _error("PermissionError")),
    Proof(
        *("thread", "import _thread; _thread.start_new_thread(f, ())", _error("RuntimeError")),
        strict_alone=True,
    ),
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


_KNOWN = Proof("known", KNOWN_PROGRAM, lambda o: o.value == KNOWN_VALUE, input_text=KNOWN_INPUT)

_DATE = Proof("date", "import time; return time.time() // 86400", _status(RunStatus.OK))
"""Two runs would agree on it, were it not for the second interpreter's clock."""


def _names(value: str) -> list[str]:
    return [name for name in value.strip("[]").replace("'", "").split(", ") if name]


Runs = Callable[[Proof, int], Awaitable[Outcome]]
"""Runs a proof under a hash seed."""


async def prove(sandbox: Sandbox, *, isolation: Isolation, workers: int) -> None:
    """Run every proof, in each mode that the sandbox offers.

    Raises:
        UnavailableError: Names each proof that failed, and what happened instead.
    """
    proofs = PROOFS + ([_KERNEL] if isolation is Isolation.GVISOR else [])
    modes = {"strict": _strict} | ({"reset": _reset} if sandbox.resets else {})
    some = [proof for proof in proofs if not proof.strict_alone]
    found = await asyncio.gather(
        *(
            _failures(proofs if run is _strict else some, partial(run, sandbox), workers)
            for run in modes.values()
        )
    )
    failures = [
        f"{words} in {mode}" for mode, each in zip(modes, found, strict=True) for words in each
    ]
    if failures:
        raise UnavailableError(f"self-test failed: {'; '.join(failures)}")


async def _failures(proofs: Sequence[Proof], run: Runs, at_once: int) -> list[str]:
    waiting = iter(proofs)
    failures: list[str] = []

    async def work() -> None:
        for proof in waiting:
            outcome = await run(proof, SEEDS[0])
            if not proof.holds(outcome):
                failures.append(f"{proof.name} gave {_words(outcome)}")

    await asyncio.gather(*(work() for _ in range(at_once)))
    known = [await run(_KNOWN, seed) for seed in SEEDS]
    if not _KNOWN.holds(known[0]) or compare(*known) is not Determinism.YES:
        failures.append(f"known program gave {' and '.join(map(_words, known))}")
    dates = [await run(_DATE, seed) for seed in SEEDS]
    if compare(*dates) is not Determinism.NO:
        failures.append(f"date gave {' and '.join(map(_words, dates))}")
    return failures


async def _strict(sandbox: Sandbox, proof: Proof, seed: int) -> Outcome:
    order = _order(proof)
    try:
        return _outcome(order, await sandbox.run(order, seed))
    except RunNotStartedError as error:
        raise UnavailableError(f"self-test failed: {error}") from error


async def _reset(sandbox: Sandbox, proof: Proof, seed: int) -> Outcome:
    """In `reset`. Its workers wait with the default limit; another one would cost each a fork."""
    limits = proof.limits if proof.of_memory else replace(proof.limits, memory_mib=_DEFAULT_MIB)
    order = _order(replace(proof, limits=limits))
    landed: asyncio.Future[End] = asyncio.get_running_loop().create_future()
    sandbox.submit(order, seed, landed.set_result)
    end = await landed
    if not isinstance(end, Done):
        raise UnavailableError(f"self-test failed: {end}") from end
    return _outcome(order, end)


def _order(proof: Proof) -> RunOrder:
    order = order_of(proof.source, proof.input_text, proof.limits)
    assert isinstance(order, RunOrder)
    return order


def _outcome(order: RunOrder, done: Done) -> Outcome:
    return outcome_of(done, value_bytes=order.value_bytes, stdout_bytes=order.stdout_bytes)


def _words(outcome: Outcome) -> str:
    parts = (outcome.status, outcome.type_name, outcome.message, outcome.detail, outcome.value)
    return " ".join(part[:80] for part in parts if part)
