"""Services as child processes: started, awaited, stopped, and never left behind."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zeroloop.errors import UnavailableError

START_S = 60.0
"""How long a service may take to listen. They take a second; a loaded machine longer."""

STOP_S = 3.0
"""How long it may take to stop before it is killed."""

_POLL_S = 0.02
_LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Child:
    """A running service."""

    name: str
    address: str
    process: asyncio.subprocess.Process
    log: Path

    def kill(self) -> None:
        """End it and its own children at once. Safe to repeat."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    async def stop(self, within_s: float = STOP_S) -> None:
        """Ask it to end, and kill it if it does not."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            pass
        self.kill()
        await self.process.wait()


async def start(name: str, checkout: Path, arguments: Sequence[str], log: Path) -> Child:
    """Start `python -m services.<name>` and return when it listens.

    It leads a process group of its own, so that Ctrl-C reaches this process alone, and it
    ends when this process does, whatever ends it.

    Raises:
        UnavailableError: It ended or did not listen in time; the message has its last words.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zeroloop-") as scratch, log.open("ab") as output:
        address_file = Path(scratch) / "address"
        flags = ["--address-file", str(address_file), "--exit-with-parent"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"services.{name}", *flags, *arguments),
            cwd=checkout,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        child = Child(name, "", process, log)
        try:
            address = await asyncio.wait_for(_address(child, address_file), START_S)
        except BaseException as error:
            child.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise UnavailableError(
                    f"{name} did not listen within {START_S:.0f} s; see {log}"
                ) from None
            raise
    return Child(name, address, process, log)


@asynccontextmanager
async def running(
    name: str, checkout: Path, arguments: Sequence[str], log: Path
) -> AsyncGenerator[Child]:
    """A service for the duration of a block."""
    child = await start(name, checkout, arguments, log)
    try:
        yield child
    finally:
        await child.stop()


def last_words(log: Path, lines: int = _LOG_LINES) -> str:
    """Return the end of a log, indented."""
    try:
        text = log.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line[:400]}" for line in text.splitlines()[-lines:])


async def _address(child: Child, file: Path) -> str:
    while not file.exists():
        if child.process.returncode is not None:
            raise UnavailableError(
                f"{child.name} ended with exit code {child.process.returncode} before it "
                f"listened; its last words:\n{last_words(child.log)}"
            )
        await asyncio.sleep(_POLL_S)
    return file.read_text("utf-8").strip()
