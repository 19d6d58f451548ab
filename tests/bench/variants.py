"""What a round costs with other ways of playing it: without overlap, and deterministic.

    python -m tests.bench.variants [ROUNDS]       default 5

Plays short runs of the seedling in turns, each variant twice, and compares the time for a thousand
sampled tokens, so that neither a busy minute nor a longer round decides.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.report import Row, write
from tests.bench.rounds import ended, events_in, play_command

VARIANTS: dict[str, tuple[str, ...]] = {
    "overlap": (),
    "no overlap": ("--set", "pipeline.overlap=false"),
    "deterministic": ("--deterministic",),
}
"""The first is the default, which the others are compared with."""

REPEATS = 2


def costs_s(rounds: int, folder: Path, options: Sequence[str]) -> list[float]:
    """Seconds of each round for a thousand sampled tokens; the first round warms up."""
    subprocess.run(play_command(rounds, folder, *options), check=True, stdout=subprocess.DEVNULL)
    events = events_in(folder / "bench" / "events.jsonl")
    return [
        1000 * over["figures"]["wall_s"] / tokens_of(events, over["round"])
        for over in ended(events)[1:]
    ]


def tokens_of(events: list[dict[str, Any]], round_index: int) -> float:
    """What was sampled in all stages of a round."""
    return sum(
        event["figures"]["tokens"]
        for event in events
        if event["type"] == "stage" and event["round"] == round_index
    )


def main(arguments: list[str]) -> int:
    """Play and report."""
    rounds = int(arguments[0]) if arguments else 5
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(REPEATS):
        for name, options in VARIANTS.items():
            with tempfile.TemporaryDirectory(prefix="zeroloop-bench-") as folder:
                found[name] += costs_s(rounds, Path(folder), options)
    default, *others = ((name, median(seconds)) for name, seconds in found.items())
    rows = [Row(name=default[0], value=default[1], unit="s/1000 tok", better="lower")]
    rows += [
        Row(name=f"{name} / {default[0]}", value=cost / default[1], unit="ratio", better="lower")
        for name, cost in others
    ]
    notes = f"{REPEATS} runs of {rounds} rounds each, in turns; the first round is left out"
    return 0 if write("variants", rows, notes=notes) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
