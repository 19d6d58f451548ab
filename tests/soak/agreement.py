"""Run ordinary programs in gVisor, in each mode, and on the host's own kernel; 1 if any differs.

`python -m tests.soak.agreement --runs 10000`: isolation must change no ordinary result.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from services.execution.backend import cache_folder, open_backend
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.singly import singly
from tests.soak.native import native
from tests.soak.ordinary import disagreements, programs
from zeroloop.core.execution import PROGRAMS_MAX, Limits, Program, Result

LIMITS = Limits(cpu_time_s=10.0, wall_time_s=120.0, memory_mib=256)
"""So long that none of these meets a limit of time, however busy the machine is."""

CALLERS = 3


async def results(pool: Pool, mode: str, work: Sequence[Program]) -> list[Result]:
    """What became of each program, in their order."""
    found: dict[int, Result] = {}
    starts = iter(range(0, len(work), PROGRAMS_MAX))

    async def caller() -> None:
        for start in starts:
            call = work[start : start + PROGRAMS_MAX]
            named = [replace(p, program_id=str(n)) for n, p in enumerate(call, start)]
            async for result in singly(pool.execute(named, LIMITS, mode)):
                found[int(result.program_id)] = result

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return [found[number] for number in range(len(work))]


async def in_gvisor(
    settings: ExecutionSettings, work: Sequence[Program]
) -> dict[str, list[Result]]:
    """The results in each mode that there is."""
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        found: dict[str, list[Result]] = {}
        for mode in backend.capabilities.modes:
            began_s = time.monotonic()
            found[mode] = await results(backend.pool, mode, work)
            rate = len(work) / (time.monotonic() - began_s)
            print(f"gVisor, {mode}: {len(work):,} runs, {rate:.0f}/s", flush=True)
        return found


async def compare(runs: int, seed: int, runsc: Path | None) -> list[str]:
    """All disagreements with the host's own kernel, in words."""
    work = programs(runs, seed)
    async with native() as (pool, way):
        due = await results(pool, "strict", work)
    print(f"{way}: {runs:,} runs, {dict(Counter(result.status.value for result in due))}")
    with tempfile.TemporaryDirectory(prefix="zeroloop-agreement-") as folder:
        settings = ExecutionSettings(
            mode="reset", cache_mib=0, runsc=runsc, scratch_dir=Path(folder)
        )
        found = await in_gvisor(settings, work)
    failures: list[str] = []
    for mode, got in found.items():
        differing = disagreements(work, due, got)
        print(f"{mode}: {runs - len(differing):,} of {runs:,} agree with {way}")
        failures += [f"{mode}: {words}" for words in differing]
    return failures


def main(arguments: list[str]) -> int:
    """Compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.agreement", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runsc", type=Path, help="another one, such as Debian's")
    asked = parser.parse_args(arguments)
    failures = asyncio.run(compare(asked.runs, asked.seed, asked.runsc))
    for failure in failures[:20]:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
