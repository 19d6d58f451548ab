"""A real controller server whose runs are played in memory."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services.controller.book import RunBook
from services.controller.decide import Action, Observed, Play
from services.controller.platforms.base import RunPlatform
from services.controller.platforms.memory import MemoryPlatform
from services.controller.preparing import Prepared
from services.controller.promoting import nowhere
from services.controller.runs import Runs
from services.controller.servicer import RunServicer
from services.controller.store import RunStore
from zeroloop.client.channel import Access, open_channel
from zeroloop.client.controller import RunClient
from zeroloop.controller.v1 import controller_pb2_grpc as stubs
from zeroloop.core.runs import Endpoints, EventType

TOKEN = "secret"  # a test's own


class InMemory:
    """A memory platform with what the controller asks of one besides playing."""

    def __init__(self, book: RunBook, prepared: Prepared) -> None:
        self._memory = MemoryPlatform(random.Random(0), rounds=book.run.spec.rounds)
        self._book = book
        self.step_s = 0.0
        self.error: Exception | None = None
        self.may_close = asyncio.Event()
        self.closing = asyncio.Event()
        self.closed = False
        self.trainer_stopped = False
        self.endpoints = Endpoints(buffer="127.0.0.1:1", inference="127.0.0.1:2")
        self.problem = ""

    async def observe(self) -> Observed:
        self._memory.rounds = self._book.run.spec.rounds
        return await self._memory.observe()

    async def apply(self, action: Action) -> None:
        if self.error is not None:
            raise self.error
        if isinstance(action, Play):
            await asyncio.sleep(self.step_s)
        await self._memory.apply(action)
        if isinstance(action, Play):
            self._book.emit(EventType.STAGE, "stored", round_index=action.round_index)

    async def rest(self, *, completed: bool) -> None:
        self.trainer_stopped = True

    async def close(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        self.closed = True

    def refuse(self, version: int) -> None:
        self._memory.bad_version = version

    @property
    def trained(self) -> list[int]:
        return self._memory.trained


@dataclass
class Controller:
    """What a test needs of the server side."""

    folder: Path
    address: str
    client: RunClient
    runs: Runs
    platforms: dict[str, InMemory] = field(default_factory=dict[str, InMemory])
    step_s: float = 0.0
    error: Exception | None = None
    bad_version: int = -1
    closes_at_once: bool = True


@asynccontextmanager
async def serving(folder: Path, *, resume: bool = False) -> AsyncGenerator[Controller]:
    """Serve the runs below `folder`."""
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(SharedToken(TOKEN)), ErrorInterceptor()]
    )
    made: Controller

    def make(book: RunBook, prepared: Prepared) -> RunPlatform:
        platform = InMemory(book, prepared)
        platform.step_s, platform.error = made.step_s, made.error
        platform.refuse(made.bad_version)
        if made.closes_at_once:
            platform.may_close.set()
        made.platforms[book.run.name] = platform
        return platform

    store = RunStore(folder)
    runs = Runs(store, make, lambda: datetime.now(UTC), active_max=1, tick_s=0.01)
    stubs.add_RunServiceServicer_to_server(RunServicer(runs, Access(TOKEN), nowhere), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    async with open_channel(address, token=TOKEN) as channel:
        made = Controller(folder, address, RunClient(channel), runs)
        runs.restore(resume=resume)
        yield made
    await runs.close()
    await server.stop(None)
