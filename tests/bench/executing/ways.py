"""Ways that take turns, so that a noisy minute is noisy to all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

VISIT_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to run trivial programs."""

    key: str
    name: str
    callers: Sequence[Callable[[], Awaitable[int]]]
    """Each runs some programs and returns how many; they work side by side, over and over."""

    warm_programs: int = 1
    """To run before anything is measured."""

    processor_s: Callable[[], float] = field(default=lambda: 0.0)
    """What its sandboxes have used so far."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a way did in its turn."""

    programs: int
    wall_s: float
    processor_s: float
    """Of its sandboxes."""

    own_processor_s: float
    """Of the process that measures, in which the pools' own code runs."""

    @property
    def per_s(self) -> float:
        """Programs per second."""
        return self.programs / self.wall_s


async def interleaved(
    ways: Sequence[Way], *, rounds: int, visit_s: float = VISIT_S
) -> dict[str, list[Visit]]:
    """Visit every way once a round; the visits of each, in order.

    In a visit every caller makes at least one call, and no new one after `visit_s`.
    """
    for way in ways:
        await _warm(way)
    visits: dict[str, list[Visit]] = {way.key: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            visits[way.key].append(await _visit(way, visit_s))
    return visits


async def _warm(way: Way) -> None:
    programs = 0
    while programs < way.warm_programs:
        programs += sum(await asyncio.gather(*(call() for call in way.callers)))


async def _visit(way: Way, visit_s: float) -> Visit:
    before_s, own_before_s = way.processor_s(), time.process_time()
    began_s = time.perf_counter()

    async def work(call: Callable[[], Awaitable[int]]) -> int:
        programs = 0
        while True:
            programs += await call()
            if time.perf_counter() - began_s >= visit_s:
                return programs

    programs = sum(await asyncio.gather(*(work(call) for call in way.callers)))
    wall_s = time.perf_counter() - began_s
    own_s = time.process_time() - own_before_s
    return Visit(programs, wall_s, way.processor_s() - before_s, own_s)
