"""The life of the engine: started beside the server, watched, started again when it dies.

    loading -> serving -> (death) -> restarting -> serving ...  -> lost

While there is no engine, calls get `UnavailableError` and health says NOT_SERVING. A dead
engine is started again in place, from the weights that were served last, so that callers
keep their connection. More deaths than `restarts_max` within `restart_window_s` mean that
starting again does not help: `run` raises, the process ends non-zero, and its supervisor
decides.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.inference.engine.base import Engine
from zeroloop.errors import UnavailableError, ZeroloopError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A version of the weights that an engine can be started from."""

    version: int
    folder: str
    """Folder or hub id."""

    digest: str = ""
    """SHA-256 of its manifest.json; empty if nobody sealed it."""


Launch: TypeAlias = Callable[[Served], Awaitable[Engine]]


class Announce(Protocol):
    """Tells the world whether calls can succeed."""

    async def serving(self, *names: str) -> None: ...
    async def not_serving(self, *names: str) -> None: ...


class EngineLostError(UnavailableError):
    """The engine died too often; the process must end."""


class EngineKeeper:
    """Holds the engine that calls may use at this moment, if there is one."""

    def __init__(
        self,
        launch: Launch,
        start_from: Served,
        *,
        announce: Announce,
        names: tuple[str, ...],
        restarts_max: int,
        restart_window_s: float,
    ) -> None:
        self.served = start_from
        """What the engine serves, and what the next one is started from."""

        self._launch = launch
        self._announce = announce
        self._names = names
        self._restarts_max = restarts_max
        self._restart_window_s = restart_window_s
        self.asleep = False
        """The engine has let go of its device. A new one is awake."""

        self._engine: Engine | None = None
        self._absence = "the engine is loading; retry"
        self._given_up: asyncio.Future[str] | None = None

    def engine(self) -> Engine:
        """Return the engine, ready to work.

        Raises:
            UnavailableError: It sleeps, or is loading, restarting or lost.
        """
        engine = self.loaded()
        if self.asleep:
            raise UnavailableError("the engine sleeps while a trainer has its device; retry")
        return engine

    def loaded(self) -> Engine:
        """Return the engine, be it asleep.

        Raises:
            UnavailableError: It is loading, restarting or lost.
        """
        if self._engine is None:
            raise UnavailableError(self._absence)
        return self._engine

    def give_up(self, engine: Engine, why: str) -> None:
        """Treat `engine` as dead: nobody gets it any more, and a new one is started."""
        if self._engine is engine and self._given_up is not None:
            self._given_up.set_result(why)
            self._engine = None

    async def run(self) -> None:
        """Keep an engine alive until cancelled.

        Raises:
            EngineLostError: It died too often.
            ZeroloopError: The first start failed; whatever `launch` raised.
        """
        deaths: deque[float] = deque()
        first = True
        try:
            while True:
                try:
                    why = await self._live(await self._launch(self.served))
                except ZeroloopError as error:
                    if first:
                        raise
                    why = f"it did not start again: {error}"
                first = False
                logger.error("engine_died", extra={"why": why})
                self._count_death(why, deaths)
        finally:
            self._absence = "the engine is shut down"

    async def _live(self, engine: Engine) -> str:
        """Offer the engine until it dies; return why."""
        self._given_up = asyncio.get_running_loop().create_future()
        death = asyncio.create_task(engine.died())
        try:
            self._engine, self.asleep = engine, False
            logger.info("engine_serving", extra={"weights_version": self.served.version})
            await self._announce.serving(*self._names)
            await asyncio.wait({death, self._given_up}, return_when=asyncio.FIRST_COMPLETED)
            why = self._given_up.result() if self._given_up.done() else death.result()
            self._absence = f"the engine died and is restarting ({why}); retry"
            return why
        finally:
            self._engine = None
            death.cancel()
            await self._announce.not_serving(*self._names)
            await engine.close()

    def _count_death(self, why: str, deaths: deque[float]) -> None:
        now_s = asyncio.get_running_loop().time()
        deaths.append(now_s)
        while deaths[0] < now_s - self._restart_window_s:
            deaths.popleft()
        if len(deaths) > self._restarts_max:
            raise EngineLostError(
                f"the engine died {len(deaths)} times within {self._restart_window_s:.0f} s, more "
                f"than restarts_max={self._restarts_max} allows; the last time: {why}"
            )
