"""Run every benchmark, each in a process of its own: `python -m tests.bench [NAME...]`."""

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__init__", "__main__", "report"}


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, or all; 1 if one fails or misses a target."""
    folder = Path(__file__).parent
    known = sorted(p.stem for p in folder.glob("*.py") if p.stem not in NOT_BENCHMARKS)
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        print(f"unknown benchmarks {unknown}; known are {known}", file=sys.stderr)
        return 64
    failed = [
        name
        for name in chosen or known
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
    ]
    if failed:
        print(f"failed or short of a target: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
