"""The corpus over the wire, from eight callers at once: nobody gets what is another's."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from services.execution.backend import Backend
from tests.hostile import probe
from tests.hostile.all_programs import CORPUS
from tests.hostile.corpus import Hostile
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Limits, Program
from zeroloop.core.tasks import RunStatus

CALLERS = 8
PROGRAMS = 15
"""In one message."""

PROBE_OF = " | "

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_eight_callers_at_once_get_their_own_results(
    backend: Backend, address: str, mode: Mapping[str, Any]
) -> None:
    sandboxes = set(backend.pool.fleet.working)

    found = await asyncio.gather(
        *(run_share(address, mode, CORPUS[number::CALLERS]) for number in range(CALLERS))
    )

    problems = [problem for share in found for problem in share]
    assert not problems, "\n".join(problems)
    assert backend.pool.pending == 0
    assert set(backend.pool.fleet.working) == sandboxes, "it cost us a sandbox"


async def run_share(address: str, mode: Mapping[str, Any], share: Sequence[Hostile]) -> list[str]:
    """What went wrong with a caller's share of the corpus."""
    due = {program.name: program for program in share}
    problems: list[str] = []
    async with open_channel(address) as channel:
        execute = partial(ExecutionClient(channel).execute, **mode)
        for limits, programs in messages(share):
            async for result in execute(programs, limits):
                name, _, kind = result.program_id.partition(PROBE_OF)
                if kind:
                    problems += filter(None, [probe.problem_of(result, kind)])
                elif not due.pop(name).allows(result):
                    problems.append(f"{name}: {result}")
            await probe.check(execute)
    return problems + [f"{name}: no result" for name in due]


def messages(share: Sequence[Hostile]) -> Iterator[tuple[Limits, Sequence[Program]]]:
    """Messages of programs that bear the same limits, each program followed by both probes.

    Who must run into a time limit keeps the one it has, and has no probes beside it; all others
    get time enough for a machine that eight callers share.
    """
    groups: defaultdict[Limits, list[Program]] = defaultdict(list)
    for program in share:
        if any(ending.status is RunStatus.TIMEOUT for ending in program.endings):
            groups[program.limits].append(program.job())
        else:
            limits = Limits(cpu_time_s=5.0, memory_mib=program.limits.memory_mib)
            groups[limits] += [program.job(), *probes_of(program)]
    for limits, programs in groups.items():
        for start in range(0, len(programs), PROGRAMS):
            yield limits, programs[start : start + PROGRAMS]


def probes_of(program: Hostile) -> list[Program]:
    """Probes that find out what `program` has left behind."""
    return [
        replace(one, program_id=f"{program.name}{PROBE_OF}{one.program_id}")
        for one in probe.PROGRAMS
    ]
