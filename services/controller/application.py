"""Wiring: from settings to a servicer that can work."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc.aio

from services._server import Health
from services.controller import metrics
from services.controller.book import RunBook
from services.controller.config import ControllerSettings
from services.controller.platforms.base import RunPlatform
from services.controller.preparing import Prepared
from services.controller.promoting import HandOver, nowhere
from services.controller.run_spans import RunSpans
from services.controller.runs import Runs
from services.controller.servicer import RunServicer
from services.controller.store import RunStore
from zeroloop.client.channel import Access
from zeroloop.client.token import ensure_token, token_path
from zeroloop.controller.v1 import controller_pb2_grpc as stubs

SERVICE = "zeroloop.controller.v1.RunService"


@asynccontextmanager
async def controller(
    settings: ControllerSettings,
    server: grpc.aio.Server,
    health: Health,
    environment: Mapping[str, str],
) -> AsyncGenerator[None]:
    """Serve runs while the block lasts; leave each so that it can be resumed."""
    spans = RunSpans()
    spans.install()
    if settings.platform == "kubernetes":
        from services.controller.platforms.kubernetes.application import runs_of_namespace

        playing = runs_of_namespace(settings, spans)
    else:
        playing = _runs_of_machine(settings, environment, spans)
    async with playing as (runs, access, hand_over):
        stubs.add_RunServiceServicer_to_server(RunServicer(runs, access, hand_over), server)
        await health.serving(SERVICE)
        closing = asyncio.create_task(_close_when_draining(health, runs))
        try:
            yield
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)


@asynccontextmanager
async def _runs_of_machine(
    settings: ControllerSettings, environment: Mapping[str, str], spans: RunSpans
) -> AsyncGenerator[tuple[Runs, Access, HandOver]]:
    """The runs of one folder, played by child processes."""
    from services.controller.platforms.local.commands import Commands
    from services.controller.platforms.local.platform import LocalPlatform

    token_file = (settings.token_file or token_path(environment)).resolve()
    token = ensure_token(token_file)

    def make(book: RunBook, prepared: Prepared) -> RunPlatform:
        commands = Commands(
            run=book.run,
            settings=prepared.settings,
            folder=book.folder,
            model=prepared.model,
            token_file=token_file,
            environment=environment,
            execution=settings.execution,
        )
        return LocalPlatform(book, prepared.settings, commands, prepared.heldout, spans)

    runs = Runs(
        RunStore(settings.runs_folder.resolve()),
        make,
        lambda: datetime.now(UTC),
        active_max=settings.runs_active_max,
        tick_s=settings.tick_s,
    )
    metrics.leads(leading=True)
    runs.restore(resume=settings.resume)
    try:
        yield runs, Access(token), nowhere
    finally:
        await runs.close()


async def _close_when_draining(health: Health, runs: Runs) -> None:
    # Watches would use up the time in which the children have to end.
    await health.draining.wait()
    await asyncio.shield(asyncio.create_task(runs.close()))
