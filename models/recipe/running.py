"""Runs programs that the model wrote, each in a forked process with hard limits.

For measuring the recipe's own model only: a process with limits and without most built-ins is no
sandbox for strangers' programs. The platform runs those in its execution service.
"""

import builtins
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zeroloop.core.canonical import CanonicalError, canonical_text
from zeroloop.core.execution import Determinism, Isolation, Result
from zeroloop.core.literals import LiteralError, parse_arguments
from zeroloop.core.tasks import RunStatus

CPU_LIMIT_S = 1
MEMORY_LIMIT_BYTES = 1 << 29
RESULT_BYTES_MAX = 1 << 16
HASH_SEEDS = ("1", "2")
"""Of the two interpreters that must agree on a deterministic program."""

_FORBIDDEN = frozenset({"open", "exec", "eval", "compile", "input", "breakpoint", "__import__"})


class ForkRunner:
    """A `Runner` of the reward service on two local interpreters with different hash seeds."""

    def __init__(self) -> None:
        self._interpreters = [_start(hash_seed) for hash_seed in HASH_SEEDS]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for interpreter in self._interpreters:
            interpreter.communicate()

    async def run(
        self,
        source: str,
        inputs: Sequence[str],
        *,
        check_determinism: bool = False,
        reuse: bool = False,
    ) -> list[Result]:
        """See `services.reward.domains.base.Runner`. Nothing is reused."""
        del reuse
        first, second = self._interpreters
        values = _ask(first, source, inputs)
        others = _ask(second, source, inputs) if check_determinism else values
        return [
            Result(
                program_id="",
                input_index=index,
                status=RunStatus.ERROR if value is None else RunStatus.OK,
                value=value or "",
                determinism=Determinism.YES if value == other else Determinism.NO,
                isolation=Isolation.UNSAFE,
            )
            for index, (value, other) in enumerate(zip(values, others, strict=True))
        ]


def _start(hash_seed: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "models.recipe.running"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": f".{os.pathsep}src", "PYTHONHASHSEED": hash_seed},
    )


def _ask(
    interpreter: "subprocess.Popen[str]", source: str, inputs: Sequence[str]
) -> list[str | None]:
    assert interpreter.stdin is not None
    assert interpreter.stdout is not None
    interpreter.stdin.write(json.dumps([source, list(inputs)]) + "\n")
    interpreter.stdin.flush()
    return json.loads(interpreter.stdout.readline())


def _run_limited(program: str, arguments: str) -> str | None:
    """The canonical text of what the program returns, None if it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writer, program, arguments)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        result = stream.read(RESULT_BYTES_MAX)
    os.waitpid(child, 0)
    return result.decode()[1:] if result.startswith(b"=") else None


def _answer(writer: int, program: str, arguments: str) -> None:
    """In the child: write `=` and the canonical text, or nothing."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    os.closerange(0, writer)
    allowed = {name: getattr(builtins, name) for name in dir(builtins) if name not in _FORBIDDEN}
    names: dict[str, Any] = {"__builtins__": allowed}
    try:
        call = parse_arguments(arguments)
        exec(program, names)
        text = canonical_text(names["f"](*call.args, **call.kwargs))
        os.write(writer, b"=" + text.encode())
    except (LiteralError, CanonicalError):
        return
    except BaseException:  # noqa: BLE001
        # Whatever the program raises, it has failed; the child has nothing else to do.
        return


def main() -> None:
    """Answer each line of programs and inputs on standard input by a line of results."""
    for line in sys.stdin:
        program, inputs = json.loads(line)
        results = [_run_limited(program, arguments) for arguments in inputs]
        print(json.dumps(results), flush=True)


if __name__ == "__main__":
    main()
