"""Run so many mixed programs in each mode while sandboxes are killed; 1 if anything is wrong.

Every result must be that of its program and come once. The memory of a sandbox must not grow by
more than a tenth (and what gVisor's own collector may keep) over its life.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from services.execution.backend import cache_folder, open_backend
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.singly import singly
from tests.soak.mixture import Kind, is_right, programs
from zeroloop.core.execution import PROGRAMS_MAX, Limits, Program
from zeroloop.core.tasks import RunStatus

CALLERS = 3
KILL_EVERY_S = 20.0
PROGRESS_S = 10.0
GROWTH_MAX = 0.25
"""A tenth, and what gVisor's own collector may keep of some 100 MiB."""

LIMITS = Limits(cpu_time_s=2.0, wall_time_s=60.0)


class Soak:
    """One mode's share."""

    def __init__(self, pool: Pool, mode: str, runs: int, seed: int) -> None:
        self._pool = pool
        self._mode = mode
        self._runs = runs
        self._chance = random.Random(seed)
        self._work = programs(runs, seed)
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.not_executed = 0
        self.killed = 0
        self._weights: dict[int, list[int]] = {}
        """Of each sandbox, by its process: bytes."""

    async def play(self) -> None:
        """Until every program has its result."""
        calls = [self._work[at : at + PROGRAMS_MAX] for at in range(0, self._runs, PROGRAMS_MAX)]
        waiting = iter(calls)

        async def caller() -> None:
            for call in waiting:
                await self._call(call)

        watchers = [asyncio.create_task(self._kill()), asyncio.create_task(self._tell())]
        try:
            await asyncio.gather(*(caller() for _ in range(CALLERS)))
        finally:
            for watcher in watchers:
                watcher.cancel()

    async def _call(self, call: list[tuple[Kind, Program]]) -> None:
        kinds = {program.program_id: kind for kind, program in call}
        running = self._pool.execute([program for _, program in call], LIMITS, self._mode)
        async for result in singly(running):
            self.seen[result.program_id] += 1
            if result.status is RunStatus.NOT_EXECUTED:
                self.not_executed += 1  # twice in a sandbox that was killed: said, and allowed
            elif not is_right(kinds[result.program_id], result):
                self.wrong.append(f"{kinds[result.program_id].source!r}: {result}")

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * KILL_EVERY_S)
            if working := sorted(self._pool.fleet.working, key=lambda sandbox: sandbox.pid):
                os.kill(self._chance.choice(working).pid, signal.SIGKILL)
                self.killed += 1

    async def _tell(self) -> None:
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            for sandbox in self._pool.fleet.working:
                self._weights.setdefault(sandbox.pid, []).append(sandbox.memory_bytes())
            per_s = self.seen.total() / (time.monotonic() - began_s)
            print(f"  {self._mode}: {self.seen.total():,} of {self._runs:,}, {per_s:.0f}/s")

    @property
    def heaviest_life(self) -> list[int]:
        """What the sandbox weighed that has grown most."""
        # At the first look its second interpreter may still be getting ready.
        lives = [weights[1:] for weights in self._weights.values() if len(weights) > 2]
        return max(lives, key=_growth, default=[1])

    def failures(self) -> list[str]:
        """All that is not as it must be."""
        missing = self._runs - len(self.seen)
        doubled = sum(count > 1 for count in self.seen.values())
        found = [f"wrong: {one}" for one in self.wrong[:5]]
        found += [f"{missing} lost"] if missing else []
        found += [f"{doubled} doubled"] if doubled else []
        if self.not_executed > 8 * self.killed:
            found.append(f"{self.not_executed} not executed after {self.killed} kills")
        if _growth(self.heaviest_life) > GROWTH_MAX:
            weights_mib = ", ".join(str(weight >> 20) for weight in self.heaviest_life)
            found.append(f"a sandbox has grown: {weights_mib} MiB")
        return found


def _growth(weights: list[int]) -> float:
    return weights[-1] / weights[0] - 1


async def soak(mode: str, runs: int, seed: int) -> list[str]:
    """Play one mode; returns what was wrong."""
    with tempfile.TemporaryDirectory(prefix="zeroloop-soak-") as folder:
        settings = ExecutionSettings(mode=mode, cache_mib=0, scratch_dir=Path(folder))
        async with open_backend(settings, cache_folder(None, os.environ)) as backend:
            played = Soak(backend.pool, mode, runs, seed)
            began_s = time.monotonic()
            await played.play()
            took_s = time.monotonic() - began_s
    failures = played.failures()
    print(
        f"{mode}: {played.seen.total():,} results in {took_s:.0f} s, {len(played.wrong)} wrong, "
        f"{played.killed} sandboxes killed, {played.not_executed} not executed, "
        f"a sandbox's memory {_growth(played.heaviest_life):+.0%} at most"
    )
    return failures


def main(arguments: list[str]) -> int:
    """Play all modes; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--reset-runs", type=int, default=100_000)
    parser.add_argument("--strict-runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)  # that sandboxes are lost is what this is about
    failures: list[str] = []
    for mode, runs in (("reset", asked.reset_runs), ("strict", asked.strict_runs)):
        if runs:
            failures += [f"{mode}: {f}" for f in asyncio.run(soak(mode, runs, asked.seed))]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
