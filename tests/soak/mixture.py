"""Programs of which each has a result of its own, so that none can be mistaken for another's."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from zeroloop.core.execution import Program, Result
from zeroloop.core.tasks import RunStatus


@dataclass(frozen=True, slots=True)
class Kind:
    """A template; `{n}` is the number of the run."""

    weight: int
    source: str
    status: RunStatus = RunStatus.OK
    value: Callable[[int], str] = str
    message: Callable[[int], str] = lambda _: ""


KINDS = [
    Kind(160, "def f(a): return a"),
    Kind(
        40,
        "def f(a): return [a + b for b in range(3)]",
        value=lambda n: repr([n + b for b in range(3)]),
    ),
    Kind(
        40,
        "from collections import Counter\ndef f(a): return sorted(Counter(str(a)).items())",
        value=lambda n: repr([(d, str(n).count(d)) for d in sorted(set(str(n)))]),
    ),
    Kind(
        40,
        "def f(a): raise ValueError(a)",
        RunStatus.ERROR,
        lambda _: "",
        lambda n: str(n),
    ),
    Kind(20, "def f(a):\n    print('x' * 5000)\n    return a"),
    Kind(20, "kept = []\ndef f(a):\n    for i in range(20_000): kept.append([i])\n    return a"),
    Kind(20, "import builtins\nbuiltins.sorted = builtins.len = None\ndef f(a): return a"),
    Kind(12, "import sys\nsys.modules.clear()\ndef f(a): return a"),
    Kind(12, "def f(a):\n    try: return f(a)\n    except RecursionError: return a"),
    Kind(
        12, "import os\ndef f(a):\n    kept = [open('/dev/null') for _ in range(9)]\n    return a"
    ),
    Kind(1, "import resource\ndef f(a): return a"),
    Kind(1, "import os\ndef f(a): os._exit(a % 99)", RunStatus.CRASH, lambda _: ""),
    Kind(1, "def f(a): return bytearray(8 << 30)", RunStatus.OOM, lambda _: ""),
    Kind(1, "import os\ndef f(a): os.umask(7); return a"),
]


def programs(count: int, seed: int) -> list[tuple[Kind, Program]]:
    """So many programs by chance, each with its kind; their ids are their numbers."""
    chosen = random.Random(seed).choices(KINDS, [kind.weight for kind in KINDS], k=count)
    return [
        (kind, Program(kind.source, (str(number),), program_id=str(number)))
        for number, kind in enumerate(chosen)
    ]


def is_right(kind: Kind, result: Result) -> bool:
    """Whether a result is that of this program and of no other."""
    number = int(result.program_id)
    found = (result.status, result.value)
    return found == (kind.status, kind.value(number)) and kind.message(number) in result.message
