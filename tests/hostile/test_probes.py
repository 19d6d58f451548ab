"""The probes see what is left behind: proven in one process, where nothing is put back."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.execution.backend import Backend
from tests.hostile import probe
from tests.hostile.all_programs import CORPUS
from tests.singly import singly
from zeroloop.core.execution import PROGRAMS_MAX, Program, Result
from zeroloop.core.tasks import RunStatus

HARMLESS = "def f():\n    return sorted([3, 1, 2])\n"

SEEN = (
    "leave the folder and the mask changed",
    "poison the environment",
    "limit of one frame left behind",
    "replace standard output",
    "exit at exit",
    "import hook",
    "patch the builtins",
    "delete the builtins",
    "empty sys.modules",
    "poison the library",
    "keep a mapping of 180 MB",
    "out of memory, then as if nothing were",
    "4,000 classes that stay subclasses of a built-in",
    "copies of the channel left open",
    "as many open files as there may be",
    "terminals left open, with a line in one",
    "pipes, eventfds and epolls left open, one pipe full",
    "handlers for faults",
    "the fault handler",
    "a timer that goes off after the answer",
    "an alarm in a second, and a timer of processor time",
    "an interval timer that interrupts everything",
    "every signal blocked",
    "another folder and mask, by descriptor",
    "another time zone",
    "an empty environment",
    "a coroutine that is never finished, and hooks for others",
    "exit functions of every kind",
    "the collector, frozen, debugged and called back",
    "the collector, off",
    "a switch interval of ten minutes",
    "flags of the dynamic loader",
    "ints of any length",
    "ints of few digits",
    "15,000 frames deep under a limit of its own",
    "a trace function left on",
    "the decimal context",
    "a known state of chance",
    "warnings as errors, shown by nobody",
    "codecs and what they do with errors",
    "other names for codecs",
    "modules that are something else",
    "a loader that writes its own modules",
    "builtins deleted",
    "methods of a built-in type",
    "methods of classes of the library",
    "every int is a sequence",
    "how values are copied",
)
"""Programs whose leftovers would change what a probe finds in the same process."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


def followed_by_probes(source: str) -> str:
    """A program that runs `source`, then what the probes are, all in one interpreter."""
    return f"""
scopes = []
def run(source, *arguments):
    scope = {{'__name__': 'program', '__builtins__': __builtins__}}
    scopes.append(scope)
    exec(source, scope)
    return scope['f'](*arguments)

def f():
    try:
        run({source!r})
    except BaseException:
        pass
    return run({probe.INTERPRETER!r}, {probe.INTERPRETER_INPUT}), run({probe.KERNEL!r})
"""


async def test_each_leftover_would_be_seen(backend: Backend, mode: Mapping[str, Any]) -> None:
    due = f"({probe.INTERPRETER_VALUE}, {probe.KERNEL_VALUE})"
    by_name = {program.name: program.source for program in CORPUS}
    sources = {"harmless": HARMLESS} | {name: by_name[name] for name in SEEN}
    programs = [
        Program(followed_by_probes(source), program_id=name) for name, source in sources.items()
    ]
    assert len(programs) <= PROGRAMS_MAX

    found = {
        result.program_id: result
        async for result in singly(backend.pool.execute(programs, probe.LIMITS, **mode))
    }

    assert found.pop("harmless").value == due
    assert set(found) == set(SEEN)
    assert [name for name, result in found.items() if as_due(result, due)] == []


def as_due(result: Result, due: str) -> bool:
    return result.status is RunStatus.NOT_EXECUTED or result.value == due


async def test_who_asks_for_a_mode_gets_it(backend: Backend, mode: Mapping[str, Any]) -> None:
    running = backend.pool.execute([Program(HARMLESS)], probe.LIMITS, **mode)

    [result] = [result async for result in singly(running)]

    assert (result.value, result.mode) == ("[1, 2, 3]", mode.get("mode", "strict"))


async def test_flags_of_the_standard_descriptors_are_those_of_a_fresh_process(
    backend: Backend, mode: Mapping[str, Any]
) -> None:
    set_flags = "import fcntl\ndef f():\n    fcntl.fcntl(0, fcntl.F_SETFL, 0o6000)\n    return 1\n"
    get_flags = (
        "import fcntl\n"
        "def f():\n"
        "    return [oct(fcntl.fcntl(fd, fcntl.F_GETFL) & 0o6000) for fd in range(3)]\n"
    )
    values: list[str] = []
    for source in (set_flags, get_flags):
        running = backend.pool.execute([Program(source)], probe.LIMITS, **mode)
        [result] = [result async for result in singly(running)]
        values.append(result.value)

    assert values == ["1", "['0o0', '0o0', '0o0']"]
