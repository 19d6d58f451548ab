"""What a hostile program is here: a source, and what must become of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent

from zeroloop.core.execution import Determinism, Limits, Program, Result
from zeroloop.core.tasks import RunStatus

MEMORY_MIB = 256

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
    limits: Limits
    determinism: Determinism | None = None
    """Checked only if given, with a second run."""

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
    memory_mib: int = MEMORY_MIB,
    input_text: str = "",
) -> Hostile:
    """A program whose `f` has this body; a body that defines `f` itself is taken as it is."""
    text = dedent(body).strip("\n")
    if "def f(" not in text and "f =" not in text:
        text = "def f(*args):\n" + "\n".join(f"    {line}" for line in text.splitlines())
    limits = limits_for(endings, memory_mib)
    return Hostile(name, text + "\n", endings, limits, determinism, input_text)


def limits_for(endings: Sequence[Ending], memory_mib: int) -> Limits:
    """Short ones where a limit may end the program, else such that no slow machine does.

    The corpus is about which limit bites, not how late.
    """
    by_limit = {ending.detail for ending in endings if ending.status is RunStatus.TIMEOUT}
    return Limits(
        cpu_time_s=0.5 if by_limit else 10.0,
        wall_time_s=1.5 if by_limit - {"cpu"} else 60.0,
        memory_mib=memory_mib,
    )


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
