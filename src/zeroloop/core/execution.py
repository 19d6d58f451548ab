"""What is asked of the Execution service, and the facts that it reports."""

from dataclasses import dataclass
from enum import StrEnum

from zeroloop.core.tasks import RunStatus

PROGRAMS_MAX = 64
"""Programs in one message."""

INPUTS_MAX = 64
"""Inputs of one program."""

SOURCE_BYTES_MAX = 65_536
INPUT_BYTES_MAX = 65_536
PROGRAM_ID_BYTES_MAX = 128


class Determinism(StrEnum):
    """Whether two runs under different hash seeds agreed in everything."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """Not asked for, timed out or not run."""


class Isolation(StrEnum):
    """What stood between a program and the host. Closed set: these values label metrics."""

    GVISOR = "gvisor"
    UNSAFE = "unsafe"
    """Nothing: the operator switched isolation off."""


class Mode(StrEnum):
    """How the interpreter is made fresh for a run."""

    RESET = "reset"
    """Its memory is put back after each run."""

    STRICT = "strict"
    """A forked child for each run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Hard limits on each run."""

    cpu_time_s: float = 1.0
    """Processor time. Range [0.05, 60]."""

    wall_time_s: float | None = None
    """From pick-up by a worker to the end. Range [cpu_time_s, 300]; None: 4 times plus 2 s."""

    memory_mib: int = 512
    """Address space. Range [64, 4096]."""

    stdout_bytes: int = 65_536
    """Captured standard output; what exceeds it is dropped. Range [0, 1048576]."""

    value_bytes: int = 65_536
    """Canonical text of the value; what exceeds it is `toolarge`. Range [1, 1048576]."""

    @property
    def wall_s(self) -> float:
        """The wall-clock limit in force."""
        return 4 * self.cpu_time_s + 2 if self.wall_time_s is None else self.wall_time_s


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the inputs to run it on, each a run of its own."""

    source: str
    """Python text that defines `f`."""

    inputs: tuple[str, ...] = ("",)
    """Argument lists in the literal grammar of inputs; never spliced into the source."""

    program_id: str = ""
    """Unique within a call, echoed; empty: its index, as decimal text."""

    check_determinism: bool = False
    """Also run each input in a second interpreter with another hash seed, and compare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One run of one program on one input. Facts, never a verdict."""

    program_id: str
    input_index: int
    status: RunStatus

    value: str = ""
    """Canonical text of what `f` returned; only with `ok`."""

    type_name: str = ""
    """Type of the value, or class of the exception."""

    message: str = ""
    """The exception's message, at most 400 characters."""

    detail: str = ""
    """Which limit, signal, exit code, size or platform fault."""

    stdout: bytes = b""
    """At most `Limits.stdout_bytes`; programs need not print UTF-8."""

    stdout_truncated: bool = False
    cpu_time_s: float = 0.0
    """As the sandbox measures it; under gVisor in steps of 10 ms."""

    wall_time_s: float = 0.0
    peak_memory_bytes: int = 0
    determinism: Determinism = Determinism.UNKNOWN
    isolation: Isolation = Isolation.GVISOR
    mode: str = Mode.STRICT
    """What was odd in `reset` was run again in `strict`, and that counts."""

    image_digest: str = ""
    """Of the interpreter and runner."""

    cached: bool = False
    """Whether it is the result of an earlier run of the same program on the same input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What isolates programs in a service, and the limits in force."""

    isolation: Isolation
    platform: str
    """gVisor's platform, for instance `systrap`; empty if isolation is unsafe."""

    runtime_version: str
    python_version: str
    image_digest: str
    modes: tuple[str, ...]
    """Offered, best first."""

    default_limits: Limits
    workers: int
    """Runs at once."""

    queue_runs_max: int
    """Runs that may wait before callers are turned away."""
