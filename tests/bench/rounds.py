"""Whole rounds on this machine: how soon, how busy, how much memory.

    python -m tests.bench.rounds [ROUNDS]       default 20

Plays the seedling with the real engine, sandbox and trainer, and reads what the run wrote.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.report import Row, write

WARM_ROUNDS = 3
"""Memory is compared from here on: caches and pools have filled by then."""

PAGE_MIB = 4096 / 2**20


def resident_mib(ancestor: int) -> dict[str, float]:
    """Resident memory of every process below `ancestor`, MiB, summed by what it is."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended.
        children[int(fields[1])].append(int(stat.parent.name))
    found: dict[str, float] = defaultdict(float)
    waiting = [ancestor]
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
        found[role_of(command)] += pages * PAGE_MIB
    return found


def role_of(command: str) -> str:
    """Which part of the platform a command line belongs to."""
    known = ("controller", "buffer", "execution", "reward", "inference")
    for name in known:
        if f"services.{name}" in command:
            return name
    if "EngineCore" in command:
        return "engine"
    if "-m trainer" in command:
        return "trainer"
    return "sandbox" if "runsc" in command else "other"


def play_command(rounds: int, folder: Path, *options: str) -> list[str]:
    """Play the seedling below `folder` as the run `bench`, without evaluation."""
    return [
        *(sys.executable, "-m", "zeroloop.cli", "play", "--model", "models/seedling"),
        *("--preset", "seedling", "--rounds", str(rounds), "--name", "bench"),
        *("--runs-dir", str(folder), "--set", "evaluate.enabled=false", *options),
    ]


def play(rounds: int, folder: Path) -> tuple[float, list[dict[str, Any]], list[dict[str, float]]]:
    """Play a run; return its start, its events and the memory after each round."""
    started = time.time()
    process = subprocess.Popen(play_command(rounds, folder), stdout=subprocess.DEVNULL)
    memory: list[dict[str, float]] = []
    path = folder / "bench" / "events.jsonl"
    try:
        while process.poll() is None:
            time.sleep(0.5)
            if len(ended(events_in(path))) > len(memory):
                memory.append(resident_mib(process.pid))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode:
        raise SystemExit(f"the run ended with code {process.returncode}; see {folder}")
    return started, events_in(path), memory


def events_in(path: Path) -> list[dict[str, Any]]:
    """The events written so far."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def ended(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that say that a round is over."""
    return [event for event in events if event["type"] == "round" and event["round"] > 0]


def rows_of(
    started: float, events: list[dict[str, Any]], memory: list[dict[str, float]]
) -> list[Row]:
    """The figures of a run."""
    over = ended(events)
    playing = next(e for e in events if e["type"] == "state" and e["message"] == "playing")
    ready = next(e for e in events if any(f.startswith("started_s.") for f in e["figures"]))
    busy = [1 - e["figures"]["idle_s"] / e["figures"]["wall_s"] for e in over]
    rows = [
        lower("start to first round begun", at(playing) - started, "s", 90),
        lower("start to first round finished", at(over[0]) - started, "s", 180),
        lower("idle share of a round, median", 1 - sorted(busy)[len(busy) // 2], "", 0.15),
        lower("a round, median", sorted(wall_s(over))[len(over) // 2], "s", None),
    ]
    rows += [
        lower(f"start of {name.removeprefix('started_s.')}", seconds, "s", 3)
        for name, seconds in sorted(ready["figures"].items())
        if name.startswith("started_s.") and "inference" not in name
    ]
    if len(memory) > WARM_ROUNDS:
        warm, last = memory[WARM_ROUNDS - 1], memory[-2 if len(memory) > WARM_ROUNDS + 1 else -1]
        rows += [
            lower(f"memory growth of {part}", last.get(part, 0) / warm[part], "ratio", 1.1)
            for part in sorted(warm)
            if part != "other"
        ]
    return rows


def wall_s(over: list[dict[str, Any]]) -> list[float]:
    """Duration of each round."""
    return [event["figures"]["wall_s"] for event in over]


def at(event: dict[str, Any]) -> float:
    """When an event happened, Unix time."""
    return datetime.fromisoformat(event["at"]).timestamp()


def lower(name: str, value: float, unit: str, target: float | None) -> Row:
    """A row whose smaller values are better."""
    return Row(name=name, value=value, unit=unit, target=target, better="lower")


def main(arguments: list[str]) -> int:
    """Play and report."""
    rounds = int(arguments[0]) if arguments else 20
    with tempfile.TemporaryDirectory(prefix="zeroloop-bench-") as folder:
        rows = rows_of(*play(rounds, Path(folder)))
    return 0 if write("rounds", rows, notes=f"{rounds} rounds of the seedling") else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
