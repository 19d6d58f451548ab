"""What a hostile program is here: a source, and what must become of it."""

from dataclasses import dataclass, replace
from textwrap import dedent

from zeroloop.core.execution import Determinism, Limits, Program, Result
from zeroloop.core.tasks import RunStatus

LIMITS = Limits(cpu_time_s=0.5, wall_time_s=1.5, memory_mib=256)
"""Short, so that the suite is; the corpus is about which limit bites, not how late."""

PATIENT = replace(LIMITS, wall_time_s=20.0)
"""Of programs that no wall-clock limit must end: however long they wait for a processor."""

POISON = "ZEROLOOP_POISON"
"""Name of an environment variable that some programs set and no other may ever see."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which a run may end. Empty fields allow anything."""

    status: RunStatus
    type_name: str = ""
    detail: str = ""
    value: str = ""

    def allows(self, result: Result) -> bool:
        return (
            result.status is self.status
            and (not self.type_name or result.type_name == self.type_name)
            and self.detail in result.detail
            and (not self.value or result.value == self.value)
        )


@dataclass(frozen=True, slots=True)
class Hostile:
    """A program of the corpus."""

    name: str
    source: str
    endings: tuple[Ending, ...]
    determinism: Determinism | None = None
    """Checked only if given, with a second run."""

    limits: Limits = LIMITS
    input_text: str = ""

    def job(self) -> Program:
        """What to run."""
        paired = self.determinism is not None
        return Program(self.source, (self.input_text,), self.name, check_determinism=paired)

    def allows(self, result: Result) -> bool:
        """Whether it may end so."""
        return (
            any(ending.allows(result) for ending in self.endings)
            and self.determinism in (None, result.determinism)
            and len(result.stdout) <= self.limits.stdout_bytes
        )


def hostile(
    name: str,
    body: str,
    *endings: Ending,
    determinism: Determinism | None = None,
    limits: Limits | None = None,
    input_text: str = "",
) -> Hostile:
    """A program whose `f` has this body; a body that defines `f` itself is taken as it is.

    Without limits it gets short ones, of which the one by the wall is long if it must not bite.
    """
    if limits is None:
        by_wall = any(e.status is RunStatus.TIMEOUT and e.detail != "cpu" for e in endings)
        limits = LIMITS if by_wall else PATIENT
    text = dedent(body).strip("\n")
    if "def f(" not in text and "f =" not in text:
        text = "def f(*args):\n" + "\n".join(f"    {line}" for line in text.splitlines())
    return Hostile(name, text + "\n", endings, determinism, limits, input_text)


def ok(value: str = "") -> Ending:
    return Ending(RunStatus.OK, value=value)


def error(type_name: str) -> Ending:
    return Ending(RunStatus.ERROR, type_name)


def timeout(detail: str = "") -> Ending:
    return Ending(RunStatus.TIMEOUT, detail=detail)


def crash(detail: str = "") -> Ending:
    return Ending(RunStatus.CRASH, detail=detail)


OOM = Ending(RunStatus.OOM)
TOOLARGE = Ending(RunStatus.TOOLARGE)
GARBLED = Ending(RunStatus.GARBLED)


def opaque(type_name: str = "") -> Ending:
    return Ending(RunStatus.OPAQUE, type_name)
