"""Harmless programs that would notice what another one left behind.

Two, because a mode may refuse the calls by which the second one asks the kernel, and answer it
from a fresh process instead: the first one must be answerable everywhere.
"""

from collections.abc import AsyncIterable, Callable, Sequence

from tests.hostile.corpus import POISON
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.tasks import RunStatus

CHANCE_SEEDED = "0.41661987254534116"
"""What `random.random()` gives first after `random.seed(12345)`."""

INTERPRETER = f"""
import _locale, _signal, atexit, builtins, codecs, collections, collections.abc, copyreg, decimal
import faulthandler, gc, math, os, random, sys, time, warnings

CHANCE = random.random()

def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False

def f(words):
    print('probe')
    order = sorted(words)
    numbers = [len(word) for word in order]
    return [
        order,
        (math.sqrt(16.0), collections.Counter('abca')['a'], min(numbers), sum(numbers)),
        (os.environ.get({POISON!r}), sorted(os.environ), os.getcwd(), time.tzname[0]),
        (sys.getrecursionlimit(), sys.getswitchinterval(), sys.getdlopenflags()),
        (sys.get_int_max_str_digits(), str(2**70), 'fig'.upper(), [3, 1].index(1)),
        (sys.gettrace(), sys.getprofile(), sys.get_coroutine_origin_tracking_depth()),
        (sys.excepthook is sys.__excepthook__, sys.unraisablehook is sys.__unraisablehook__),
        (random.Random(7).randrange(1000), CHANCE == {CHANCE_SEEDED}),
        (gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage),
        (str(decimal.Decimal(1) / 3), decimal.DefaultContext.prec, len(warnings.filters)),
        (codecs.lookup('latin-1').name, codecs.lookup_error('strict') is codecs.strict_errors),
        (isinstance(1, collections.abc.Sequence), list in copyreg.dispatch_table),
        [number for number in range(1, 32) if _signal.getsignal(number) == _signal.SIG_IGN],
        (faulthandler.is_enabled(), atexit._ncallbacks(), _locale.setlocale(_locale.LC_CTYPE)),
        ('PWNED' in vars(builtins), len(vars(builtins)) > 140, len(sys.meta_path)),
        (len(dict.__subclasses__()) < 100, sys.getallocatedblocks() < 75_000),
        [fd for fd in range(8, 32) if is_open(fd)],
        len([os.open('/dev/null', os.O_RDONLY) for _ in range(24)]),
        len(bytes(150 << 20)),
    ]
"""

INTERPRETER_INPUT = "['pear', 'fig', 'apple']"

KERNEL = """
import os, signal
def f():
    timers = [signal.getitimer(which) for which in range(3)]
    blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    print('probe')
    return os.getcwd(), os.umask(0o22), timers, blocked, signal.set_wakeup_fd(-1)
"""

INTERPRETER_VALUE = repr(
    [
        ["apple", "fig", "pear"],
        (4.0, 2, 3, 12),
        (None, ["LC_ALL", "PATH", "PYTHONHASHSEED"], "/", "UTC"),
        (1000, 0.005, 2),
        (4300, "1180591620717411303424", "FIG", 1),
        (None, None, 0),
        (True, True),
        (331, False),
        (True, (700, 10, 10), 0, [], []),
        ("0.3333333333333333333333333333", 28, 1),
        ("iso8859-1", True),
        (False, False),
        [13, 25],  # SIGPIPE and SIGXFSZ, as CPython sets them
        (False, 0, "C"),
        (False, True, 3),
        (True, True),
        [],
        24,
        150 << 20,
    ]
)
KERNEL_VALUE = repr(("/", 0o22, [(0.0, 0.0)] * 3, [], -1))

PROGRAMS = (
    Program(INTERPRETER, (INTERPRETER_INPUT,), "interpreter"),
    Program(KERNEL, program_id="kernel"),
)
LIMITS = Limits(cpu_time_s=5.0, memory_mib=256)
"""Room enough however busy the machine is: probes are about what they find, not how fast."""

Execute = Callable[[Sequence[Program], Limits], AsyncIterable[Result]]
"""What runs programs: a pool or a client, and in which mode."""


async def check(execute: Execute) -> None:
    """Run both probes, and assert that they find everything as it was."""
    results = [result async for result in execute(PROGRAMS, LIMITS)]
    problems = [problem for result in results if (problem := problem_of(result, result.program_id))]
    assert len(results) == len(PROGRAMS)
    assert not problems


def problem_of(result: Result, kind: str) -> str:
    """What a probe of this kind has found; empty if all is as it was."""
    due = {"interpreter": INTERPRETER_VALUE, "kernel": KERNEL_VALUE}[kind]
    if (result.status, result.stdout, result.value) == (RunStatus.OK, b"probe\n", due):
        return ""
    return f"{result}, due was {due}"
