"""Whole rounds of the seedling: how soon, how fast, how idle, and whether memory stays flat.

One run of 20 rounds with overlapping stages and one of 5 in turn, both with nothing
simulated, at the sizes of the preset.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.report import Row, write
from tests.engine.controller_process import SEEDLING, Controller, children_of, controller
from zeroloop.core import figures
from zeroloop.core.runs import EventType, Phase, RunEvent, RunSpec

ROUNDS = 20
ROUNDS_IN_TURN = 5
WARM_UP = 1
"""Rounds that are left out of means: caches fill in them."""

FLAT_FROM = 3
"""Memory is compared from the end of this round on."""

GROWTH_MAX = 0.10
LIGHT = ("buffer", "execution", "reward")


@dataclass
class Played:
    """What was seen of a run."""

    began_s: float
    events: list[tuple[float, RunEvent]] = field(default_factory=list[tuple[float, RunEvent]])
    memory_mib: dict[str, dict[int, float]] = field(
        default_factory=lambda: defaultdict[str, dict[int, float]](dict)
    )
    """By process and round."""

    def rounds(self) -> list[Mapping[str, float]]:
        """Figures of the rounds that count."""
        ended = [e for _, e in self.events if e.type is EventType.ROUND and e.round > WARM_UP]
        return [event.figures for event in ended]

    def after_s(self, kind: EventType, round_index: int) -> float:
        """When the first event of a kind and round came."""
        found = (at for at, e in self.events if e.type is kind and e.round == round_index)
        return next(found) - self.began_s


async def play(here: Controller, name: str, rounds: int, settings: Mapping[str, Any]) -> Played:
    """Play a run and note its events and the memory of its processes."""
    played = Played(time.monotonic())
    spec = RunSpec(model=str(SEEDLING), preset="seedling", rounds=rounds, seed=1, settings=settings)
    await here.client.create_run(spec, request_id=name, name=name)
    phase = Phase.PENDING
    async for update in here.client.watch_run(name):
        if update.run is not None:
            phase = update.run.status.phase
            if phase is Phase.DEGRADED:
                break
        if update.event is not None:
            played.events.append((time.monotonic(), update.event))
            if update.event.type is EventType.ROUND:
                note_memory(here, played, update.event.round)
    if phase is not Phase.COMPLETED:
        raise SystemExit(f"the run is {phase}: {here.events(name)[-1]['message']}")
    return played


def note_memory(here: Controller, played: Played, round_index: int) -> None:
    """Note the proportional memory of every process of the run."""
    for pid in children_of(here.folder):
        try:
            name = name_of(pid)
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        mib = next(int(x.split()[1]) for x in text.splitlines() if x.startswith("Pss:")) / 1024
        sizes = played.memory_mib[name]
        sizes[round_index] = sizes.get(round_index, 0.0) + mib


def name_of(pid: int) -> str:
    """Name a process by the module that it runs."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    modules = [b for a, b in itertools.pairwise(arguments) if a == "-m"]
    return modules[0].rpartition(".")[2] if modules else Path(arguments[0]).name


def growth(sizes: Mapping[int, float]) -> float:
    """By which share memory grew after the first rounds: medians of three at both ends."""
    known = [sizes[index] for index in sorted(sizes) if index >= FLAT_FROM]
    if len(known) < 6:
        return 0.0
    first, last = statistics.median(known[:3]), statistics.median(known[-3:])
    return last / first - 1


def mean(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    """The mean of a figure over rounds."""
    return statistics.fmean(found[name] for found in rounds)


def rows_of(overlapping: Played, in_turn: Played) -> list[Row]:
    """The rows of the report."""
    rounds = overlapping.rounds()
    started = next(e.figures for _, e in overlapping.events if "started_s.buffer" in e.figures)
    idle = mean(rounds, figures.IDLE_S) / mean(rounds, figures.WALL_S)
    seconds = {"better": "lower", "unit": "s"}
    rows = [
        Row(
            name="first round begins after",
            value=overlapping.after_s(EventType.ROUND, 0),
            target=90,
            **seconds,
        ),
        Row(
            name="first round is finished after",
            value=overlapping.after_s(EventType.ROUND, 1),
            target=180,
            **seconds,
        ),
        Row(name="round, overlapping", value=mean(rounds, figures.WALL_S), **seconds),
        Row(name="round, in turn", value=mean(in_turn.rounds(), figures.WALL_S), **seconds),
        Row(name="idle share of a round", value=idle, unit="", target=0.15, better="lower"),
        Row(
            name="largest difference of log-probabilities",
            value=max(found[figures.MISMATCH_MAX] for found in rounds),
            unit="nats",
            target=1e-3,
            better="lower",
        ),
    ]
    for name, started_s in sorted(started.items()):
        service = name.partition(".")[2]
        target = 3.0 if service in LIGHT else None
        rows.append(Row(name=f"start of {service}", value=started_s, target=target, **seconds))
    for name, sizes in sorted(overlapping.memory_mib.items()):
        rows.append(
            Row(
                name=f"memory growth of {name} ({sizes[max(sizes)]:.0f} MiB)",
                value=growth(sizes),
                unit="",
                target=GROWTH_MAX,
                better="lower",
            )
        )
    return rows


async def measure(folder: Path) -> list[Row]:
    """Play both runs."""
    async with controller(folder / "overlap") as here:
        overlapping = await play(here, "overlap", ROUNDS, {})
    async with controller(folder / "turn") as here:
        settings = {"pipeline.overlap": False, "evaluate.enabled": False}
        in_turn = await play(here, "turn", ROUNDS_IN_TURN, settings)
    return rows_of(overlapping, in_turn)


def main() -> int:
    """Measure and write the report."""
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(measure(Path(folder)))
    return 0 if write("rounds", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
