"""Keeping a service up: started, restarted with growing pauses, given up at last."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from services.controller.platforms.local.process import EXIT_CONFIG, Command, Process
from zeroloop.errors import ConfigError, UnavailableError

logger = logging.getLogger(__name__)

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 10.0


class State(StrEnum):
    """How a service stands."""

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How much patience there is with a service."""

    start_limit_s: float
    """From its start until it must be healthy."""

    restarts_max: int = 5
    """Restarts within `window_s`; more mean that it cannot live here."""

    window_s: float = 600.0


Make = Callable[[int], Awaitable[Command]]
"""Makes the command afresh for every start, because what it serves may have moved on. Takes
the port: 0 at first, then always the same, so that whoever calls the service finds it again."""

OnDeath = Callable[[str, int, str], None]
"""Is told the name of a service that ended unasked, its exit code and its last words."""


class Keeper:
    """One service and whatever process is it at the moment."""

    def __init__(self, name: str, make: Make, policy: Policy, on_death: OnDeath) -> None:
        self.name = name
        self.state = State.STARTING
        self.problem = ""
        """Why it is broken."""

        self.address = ""
        self.started_s = 0.0
        """How long the last start took."""

        self._make = make
        self._policy = policy
        self._on_death = on_death
        self._process: Process | None = None
        self._changed = asyncio.Event()
        self._listening = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the present process, 0 if there is none."""
        return 0 if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep the service up until cancelled or broken."""
        deaths: deque[float] = deque()
        clock = asyncio.get_running_loop().time
        while True:
            code = await self._live()
            if self.state is State.BROKEN:
                return
            self._on_death(self.name, code, self._process.last_words() if self._process else "")
            deaths.append(clock())
            while deaths and clock() - deaths[0] > self._policy.window_s:
                deaths.popleft()
            if len(deaths) > self._policy.restarts_max:
                self._break(f"{self.name} ended {len(deaths)} times, last with code {code}")
                return
            await asyncio.sleep(min(PAUSE_MIN_S * 2 ** (len(deaths) - 1), PAUSE_MAX_S))

    async def listening(self) -> str:
        """Wait until it has an address; return it.

        Raises:
            UnavailableError: It is broken.
        """
        while not self._listening.is_set():
            if self.state is State.BROKEN:
                raise UnavailableError(self.problem)
            await self._change()
        return self.address

    async def settled(self) -> State:
        """Wait until it is ready or broken."""
        while self.state is State.STARTING:
            await self._change()
        return self.state

    async def stop(self, grace_s: float) -> None:
        """End the present process."""
        if self._process is not None:
            await self._process.stop(grace_s)

    async def _live(self) -> int:
        """Start the service once and return its exit code when it has ended."""
        self._set(State.STARTING)
        self._listening.clear()
        try:
            self._process = await Process.start(await self._make(self._port()))
            self.address = await self._process.address(self._policy.start_limit_s)
            self._listening.set()
            self._set(State.STARTING)
            await self._process.serving(self._policy.start_limit_s)
            self.started_s = self._process.age_s
            self._set(State.READY)
            return await self._process.wait()
        except ConfigError as error:
            self._break(str(error))
            return EXIT_CONFIG
        except UnavailableError as error:
            logger.warning("service_start_failed", extra={"child": self.name, "error": str(error)})
            if self._process is None:
                return 1
            await self._process.stop(0.0)
            return self._process.exit_code or 1

    def _port(self) -> int:
        return int(self.address.rpartition(":")[2] or 0)

    def _break(self, problem: str) -> None:
        logger.error("service_broken", extra={"child": self.name, "problem": problem})
        self.problem = problem
        self._set(State.BROKEN)

    def _set(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), 1.0)
