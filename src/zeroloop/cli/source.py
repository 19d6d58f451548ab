"""Where a reading command finds its run: live services, or a folder on this machine.

One way to read serves both: of a folder's database the buffer service is started as a child
for the duration of the command.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from zeroloop import aio
from zeroloop.cli.folders import LATEST, RunFolder, find_run
from zeroloop.cli.local import local_service
from zeroloop.core.runs import Run, RunEvent
from zeroloop.errors import ConfigError

T = TypeVar("T")

BUFFER_PACKAGES = ("sqlalchemy", "aiosqlite", "alembic")


@dataclass(frozen=True, slots=True)
class Target:
    """What a command line says about which run to read."""

    run: str | None
    address: str | None
    runs_dir: Path
    environ: Mapping[str, str]

    def folder(self) -> RunFolder:
        """The run's folder on this machine.

        Raises:
            NotFoundError: There is none.
            ConfigError: The command line names an address instead.
        """
        if self.address:
            raise ConfigError(
                "this command reads the run's folder, which --address does not give; leave it "
                "out on the machine that played the run"
            )
        return find_run(self.run or LATEST, self.runs_dir)


@dataclass(frozen=True, slots=True)
class Source:
    """A connection and the run that is meant."""

    client: aio.Client
    run: Run
    folder: RunFolder | None
    """None if the run is elsewhere."""

    async def events(self) -> list[RunEvent]:
        """What happened in the run, from its folder or told by its controller."""
        if self.folder:
            return self.folder.events()
        return await (await self.client.runs.get(self.run.name)).events()


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which run is meant; they come as `run`, `address`, `runs_dir`."""

    @functools.wraps(command)
    def with_run(*args: Any, run: str | None, run_named: str | None, **rest: Any) -> Any:
        return command(*args, run=run or run_named, **rest)

    decorated: Callable[..., Any] = with_run
    for decorate in reversed(
        [
            click.argument("run", required=False, metavar="[RUN]"),
            click.option("--run", "run_named", metavar="RUN", help="The same as the argument."),
            click.option(
                "--address",
                envvar="ZEROLOOP_ADDRESS",
                metavar="HOST:PORT",
                help="Controller of a run that is played now or elsewhere.",
            ),
            click.option(
                "--runs-dir",
                envvar="ZEROLOOP_PLAY__RUNS_DIR",
                default="runs",
                show_default=True,
                type=click.Path(path_type=Path),
                help="Where runs on this machine are kept.",
            ),
        ]
    ):
        decorated = decorate(decorated)
    return decorated


@asynccontextmanager
async def opened(target: Target) -> AsyncGenerator[Source]:
    """Connect to the services, or to the buffer of a folder."""
    if target.address:
        async with aio.connect(target.address) as client:
            name = target.run or await _newest(client)
            run = await client.runs.get(name)
            yield Source(client, run.value, None)
        return
    folder = target.folder()
    async with reading(folder, target.environ) as client:
        yield Source(client, folder.load(), folder)


@asynccontextmanager
async def reading(folder: RunFolder, environ: Mapping[str, str]) -> AsyncGenerator[aio.Client]:
    """Serve a folder's database for the duration of a block."""
    url = f"sqlite:///{folder.database.resolve()}"
    flags = ["--database-url", url]
    async with local_service("buffer", flags, environ, BUFFER_PACKAGES) as (client, _):
        yield client


def read(target: Target, ask: Callable[[Source], Coroutine[Any, Any, T]]) -> T:
    """Run `ask` with a connection to the target; for commands."""

    async def work() -> T:
        async with opened(target) as source:
            return await ask(source)

    return asyncio.run(work())


async def _newest(client: aio.Client) -> str:
    runs = await client.runs.list(limit=1)
    if not runs:
        raise ConfigError("the controller has no run yet; create one")
    return runs[0].name
