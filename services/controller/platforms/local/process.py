"""One child process: starting it, knowing when it serves, ending it with all that it started."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from zeroloop.client.channel import open_channel, translate_errors
from zeroloop.errors import ConfigError, UnavailableError

logger = logging.getLogger(__name__)

POLL_S = 0.05
HEALTH_DEADLINE_S = 2.0
LOG_TAIL_BYTES = 8_000
_OWN_WORDS = re.compile(r"zeroloop \w+: (.+)")

EXIT_CONFIG = 64
"""A setting or input is wrong; starting again cannot help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What to start."""

    name: str
    arguments: Sequence[str] = field(repr=False)
    log: Path
    """Standard output and error are appended to it."""

    address_file: Path | None = None
    """Where the process writes its address; None: it serves nobody."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    folder: Path = Path()
    """Working directory."""


class Process:
    """A running child, leader of a process group of its own, so that Ctrl-C is not for it."""

    def __init__(
        self, command: Command, process: asyncio.subprocess.Process, log_start: int
    ) -> None:
        self.command = command
        self._process = process
        self._log_start = log_start
        self._started_s = time.monotonic()

    @classmethod
    async def start(cls, command: Command) -> "Process":
        """Start `command`.

        Raises:
            ConfigError: It cannot be started at all.
        """
        command.log.parent.mkdir(parents=True, exist_ok=True)
        if command.address_file is not None:
            command.address_file.parent.mkdir(parents=True, exist_ok=True)
            command.address_file.unlink(missing_ok=True)
        with command.log.open("ab") as log:
            log_start = log.tell()
            try:
                process = await asyncio.create_subprocess_exec(
                    *command.arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(command.environment),
                    cwd=command.folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise ConfigError(f"cannot start {command.name}: {error}") from error
        return cls(command, process, log_start)

    @property
    def pid(self) -> int:
        """Process id, which is that of its group too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    @property
    def age_s(self) -> float:
        """Time since it was started."""
        return time.monotonic() - self._started_s

    async def wait(self) -> int:
        """Wait for its end, sweep what it left behind and return its exit code."""
        code = await self._process.wait()
        self._signal_group(signal.SIGKILL)
        return code

    async def address(self, limit_s: float) -> str:
        """Wait until it listens; return where.

        Raises:
            ConfigError: It ended because a setting is wrong; the message is its own.
            UnavailableError: It ended otherwise, or does not listen in time.
        """
        file = self.command.address_file
        assert file is not None, f"{self.command.name} has no address"
        deadline_s = self.age_s + limit_s
        while not file.exists():
            self._raise_if_ended()
            if self.age_s > deadline_s:
                raise UnavailableError(
                    f"{self.command.name} does not listen after {limit_s:g} s; see "
                    f"{self.command.log}"
                )
            await asyncio.sleep(POLL_S)
        return file.read_text("utf-8").strip()

    async def serving(self, limit_s: float) -> str:
        """Wait until it is healthy; return its address.

        Raises:
            ConfigError: See `address`.
            UnavailableError: See `address`.
        """
        deadline_s = self.age_s + limit_s
        address = await self.address(limit_s)
        async with open_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not await _is_serving(stub):
                self._raise_if_ended()
                if self.age_s > deadline_s:
                    raise UnavailableError(
                        f"{self.command.name} is not ready after {limit_s:g} s; see "
                        f"{self.command.log}"
                    )
                await asyncio.sleep(POLL_S)
        return address

    async def stop(self, grace_s: float) -> None:
        """End it: politely, and after `grace_s` with force, children included."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                logger.warning("child_killed", extra={"child": self.command.name})
        self._signal_group(signal.SIGKILL)
        await self._process.wait()

    def last_words(self) -> str:
        """Why it ended, as it said itself; empty if it did not say."""
        said = [match[1] for match in map(_OWN_WORDS.match, self.log_tail()) if match]
        return said[-1] if said else ""

    def log_tail(self) -> list[str]:
        """The last lines of its log, those of earlier processes left out."""
        with contextlib.suppress(OSError), self.command.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            return log.read().decode("utf-8", errors="replace").splitlines()
        return []

    def _raise_if_ended(self) -> None:
        code = self._process.returncode
        if code is None:
            return
        why = self.last_words() or (self.log_tail() or [""])[-1]
        if code == EXIT_CONFIG:
            raise ConfigError(f"{self.command.name} does not start: {why}")
        raise UnavailableError(
            f"{self.command.name} ended with code {code} at its start; see {self.command.log}: "
            f"{why}"
        )

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def _is_serving(stub: Any) -> bool:
    try:
        with translate_errors():
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_DEADLINE_S)
    except UnavailableError:
        return False
    return reply.status == health_pb2.HealthCheckResponse.SERVING
