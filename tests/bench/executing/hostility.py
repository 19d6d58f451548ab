"""What programs that do not end cost: themselves, their neighbours, the whole."""

import asyncio
import itertools
import os
import random
import time
from contextlib import aclosing
from pathlib import Path

from tests.bench.executing.callers import Caller
from tests.bench.executing.sandboxes import opened
from tests.bench.executing.spreads import ideal_per_s
from tests.bench.executing.targets import row
from tests.bench.executing.trivial import SOURCE, WrongResultError, inputs
from tests.bench.report import Row
from tests.singly import of_pool
from zeroloop.core.execution import Limits, Program
from zeroloop.core.tasks import RunStatus

LOOP = "def f():\n    while True: pass\n"
NAP = "def f():\n    import time\n    time.sleep(30)\n"
KILLS = 5
KILL_LIMIT_S = 0.5

BUSY = "def f(n):\n    x = 0\n    for i in range(n):\n        x += i & 7\n    return x\n"
BUSY_S = 0.3
BUSY_LIMITS = Limits(cpu_time_s=1.0)
OVERSUBSCRIBED = 4
"""Runs at once for each core."""

LOOP_EVERY = 60
LOOP_LIMITS = Limits(cpu_time_s=0.25, wall_time_s=10.0)
CALLERS = 8
"""Enough that work never runs out for a sandbox while a call waits for its last program."""

SETTLE_S = 1.0
WINDOW_S = 5.0

_numbers = itertools.count()


async def kill_rows(mode: str, caller: Caller) -> list[Row]:
    """How long past its limit a program that does not end by itself is there."""
    cases = {
        "processor limit": (LOOP, Limits(cpu_time_s=KILL_LIMIT_S, wall_time_s=10.0)),
        "wall-clock limit": (NAP, Limits(cpu_time_s=KILL_LIMIT_S, wall_time_s=KILL_LIMIT_S)),
    }
    rows: list[Row] = []
    for words, (source, limits) in cases.items():
        late_ms: list[float] = []
        for _ in range(KILLS):
            began_s = time.perf_counter()
            result = await caller.one(Program(_fresh(source)), limits)
            late_ms.append(1000 * (time.perf_counter() - began_s - KILL_LIMIT_S))
            if result.status is not RunStatus.TIMEOUT:
                raise WrongResultError(f"a program without end ended like this: {result}")
        rows.append(row(f"{mode}: killed past its {words}", max(late_ms), "ms", "kill delay"))
    return rows


def _fresh(source: str) -> str:
    """The same program as none before: known ones that time out are put last."""
    return f"{source}# {next(_numbers)}\n"


async def false_timeout_row(mode: str, scratch: Path, runs: int) -> Row:
    """Programs well within their limit on a machine that has four times too much to do."""
    turns, value = _busy_turns()
    cores = len(os.sched_getaffinity(0))
    program = Program(BUSY, (str(turns),))
    waiting = iter(range(runs))
    ends: list[RunStatus] = []
    async with opened(scratch, sandboxes=min(cores, 64), workers=OVERSUBSCRIBED) as backend:

        async def work() -> None:
            caller = Caller(of_pool(backend.pool), mode)
            for _ in waiting:
                result = await caller.one(program, BUSY_LIMITS)
                ends.append(result.status)
                if result.status is RunStatus.OK and result.value != value:
                    raise WrongResultError(f"a busy program gave {result.value}, not {value}")

        await asyncio.gather(*(work() for _ in range(cores * OVERSUBSCRIBED)))
    if unexpected := set(ends) - {RunStatus.OK, RunStatus.TIMEOUT}:
        raise WrongResultError(f"busy programs ended as {unexpected}")
    name = f"{mode}: false time-outs of {runs}, {BUSY_S:g} s of 1 s, {OVERSUBSCRIBED}x subscribed"
    return row(name, ends.count(RunStatus.TIMEOUT), "runs", "false timeouts")


def _busy_turns() -> tuple[int, str]:
    """How many turns take the time natively, and what they give."""
    scope: dict[str, object] = {}
    exec(BUSY, scope)
    busy: object = scope["f"]
    assert callable(busy)
    began_s = time.process_time()
    busy(2_000_000)
    turns = int(2_000_000 * BUSY_S / (time.process_time() - began_s))
    return turns, str(busy(turns))


async def loops_row(mode: str, caller: Caller) -> Row:
    """Throughput with endless loops among the programs, beside what they must cost."""
    trivial_per_s = await _rate_per_s(caller, loops=False)
    with_loops_per_s = await _rate_per_s(caller, loops=True)
    ideal = ideal_per_s(
        cores=len(os.sched_getaffinity(0)),
        loops_share=1 / LOOP_EVERY,
        limit_s=LOOP_LIMITS.cpu_time_s,
        trivial_per_s=trivial_per_s,
    )
    name = f"{mode}: one endless loop in {LOOP_EVERY}, throughput / what is possible"
    note = f"{with_loops_per_s:.0f} of {ideal:.0f} exec/s"
    return row(name, with_loops_per_s / ideal, "ratio", "loops", note)


async def _rate_per_s(caller: Caller, *, loops: bool) -> float:
    """Results per second within a window in which there is always enough to do."""
    ended_s: list[float] = []

    async def work() -> None:
        while True:
            programs = _some_programs(loops=loops)
            async with aclosing(caller.results(programs, LOOP_LIMITS)) as results:
                async for result in results:
                    wanted = (RunStatus.OK, RunStatus.TIMEOUT) if loops else (RunStatus.OK,)
                    if result.status not in wanted:
                        raise WrongResultError(f"a program ended like this: {result}")
                    ended_s.append(time.perf_counter())

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(CALLERS)]
        await asyncio.sleep(SETTLE_S)
        began_s = time.perf_counter()
        await asyncio.sleep(WINDOW_S)
        wall_s = time.perf_counter() - began_s
        for worker in workers:
            worker.cancel()
    return sum(began_s <= at_s <= began_s + wall_s for at_s in ended_s) / wall_s


def _some_programs(*, loops: bool) -> list[Program]:
    programs = [Program(SOURCE, (one.text,)) for one in inputs(LOOP_EVERY)]
    if loops:
        programs[random.randrange(LOOP_EVERY)] = Program(_fresh(LOOP))
    return programs
