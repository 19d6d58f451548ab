"""How much less of a processor programs get than their clock says.

gVisor's processor clock of a program runs on while the host keeps the pod waiting for a
processor. A host can be asked what it really gave (see `meter`); a pod cannot ask. But it can
time many pieces of work, all alike: most are done without an interruption, so what all of them
took together tells how much of that was waiting.
"""

import asyncio
import contextlib
import os
import struct
import sys

from services.execution.isolation import pace

_ANSWER = struct.Struct("<QQI")


def slowdown_of(took_ns: int, piece_ns: int, running: int, cores: int) -> float:
    """How many times slower than by its clock a program runs; at least 1.

    Args:
        took_ns: What all pieces took.
        piece_ns: What a piece takes that is not interrupted.
        running: Tasks that wanted to run; among them gVisor's clock divides the `cores`, so what
            they take from each other is no error of it.
        cores: Processors of which gVisor knows.
    """
    return max(1.0, took_ns / (piece_ns * pace.PIECES) / max(1.0, running / cores))


class Yardstick:
    """A process that does the work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._cores = os.cpu_count() or 1
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls) -> "Yardstick":
        """Start the process."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", pace.__file__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        )

    async def slowdown(self) -> float:
        """How many times slower than by their clock programs run now; at least 1.

        Raises:
            OSError: The process is gone.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._turn:
            stdin.write(b"?")
            try:
                answer = await stdout.readexactly(_ANSWER.size)
            except asyncio.IncompleteReadError as error:
                raise BrokenPipeError("the yardstick is gone") from error
        took_ns, piece_ns, running = _ANSWER.unpack(answer)
        return slowdown_of(took_ns, piece_ns, running, self._cores)

    async def end(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
