"""The buffer as a process of its own, to be killed, limited and measured."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel

TOKEN = "only for tests"
START_S = 60.0


@dataclass
class BufferProcess:
    """One running `python -m services.buffer`."""

    client: BufferClient
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it without warning."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def processor_s(self) -> float:
        """Processor time that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_peak_bytes(self) -> int:
        """The most memory it has had so far."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


def command(url: str, folder: Path, *flags: str) -> list[str]:
    """The command that serves the database at `url`, with its files in `folder`."""
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    return [
        *(sys.executable, "-m", "services.buffer", "--database-url", url),
        *("--address-file", str(folder / "address"), "--token-file", str(token_file)),
        *("--exit-with-parent", *flags),
    ]


@asynccontextmanager
async def buffer_process(
    url: str, folder: Path, *flags: str, prefix: Sequence[str] = ()
) -> AsyncGenerator[BufferProcess]:
    """Run the buffer until the block ends."""
    address = folder / "address"
    address.unlink(missing_ok=True)
    began_s = time.monotonic()
    with (folder / "log").open("ab") as log:
        environment = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(  # noqa: ASYNC220 -- quick, and simple to kill
            [*prefix, *command(url, folder, *flags)], stderr=log, env=environment
        )
    try:
        while not address.exists():
            text = (folder / "log").read_text()
            assert process.poll() is None, f"the buffer ended: {text}"
            assert time.monotonic() - began_s < START_S, f"the buffer does not start: {text}"
            await asyncio.sleep(0.02)
        async with open_channel(address.read_text(), token=TOKEN) as channel:
            yield BufferProcess(BufferClient(channel), process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=START_S)
