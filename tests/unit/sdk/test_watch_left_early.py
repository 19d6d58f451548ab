"""Who stops watching a run ends the watch on the server too, in the blocking face as well."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.sdk.fake_platform import TOKEN, FakeController, FakePlatform
from zeroloop import Client, aio, connect
from zeroloop.client import _controller_wire
from zeroloop.controller.v1 import controller_pb2 as cpb
from zeroloop.core.runs import EventType, Phase, RunEvent

LEFT_S = 5.0


class Endless(FakeController):
    """A run that does not end: tells one event, then nothing."""

    def __init__(self, platform: FakePlatform) -> None:
        super().__init__(platform)
        self.address = ""
        self.left = threading.Event()
        self.silent = threading.Event()

    async def WatchRun(self, request: Any, context: Any) -> Any:
        run = self.runs[request.name]
        playing = replace(run, status=replace(run.status, phase=Phase.PLAYING))
        event = RunEvent(at=run.created_at, type=EventType.STAGE, round=1, message="stored")
        try:
            yield cpb.WatchRunResponse(run=_controller_wire.run_to_pb(playing))
            yield cpb.WatchRunResponse(event=_controller_wire.event_to_pb(event))
            self.silent.set()
            await asyncio.sleep(3600)
        finally:
            self.left.set()


@pytest.fixture
def endless() -> Iterator[Endless]:
    platform = FakePlatform()
    endless = platform.controller = Endless(platform)
    with platform:
        endless.address = platform.address
        yield endless


def test_a_watch_that_is_broken_off_ends(endless: Endless) -> None:
    with connect(endless.address, token=TOKEN) as client:
        for event in client.runs.list()[0].watch():
            assert event.message == "stored"
            break

        assert endless.left.wait(LEFT_S)


def test_an_error_while_watching_ends_the_watch(endless: Endless) -> None:
    def watch(client: Client) -> None:
        for _ in client.runs.list()[0].watch():
            _ = 1 / 0

    with connect(endless.address, token=TOKEN) as client:
        with pytest.raises(ZeroDivisionError):
            watch(client)

        assert endless.left.wait(LEFT_S)


def test_an_interrupt_while_nothing_happens_ends_the_watch(endless: Endless) -> None:
    def interrupt() -> None:
        endless.silent.wait(LEFT_S)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with connect(endless.address, token=TOKEN) as client:
        events = client.runs.list()[0].watch()
        with pytest.raises(KeyboardInterrupt):
            list(events)

        assert endless.left.wait(LEFT_S)


async def test_a_watch_of_the_asynchronous_face_ends_when_it_is_closed(endless: Endless) -> None:
    async with aio.connect(endless.address, token=TOKEN) as client:
        (run,) = await client.runs.list()
        events = run.watch()
        await anext(events)

        await events.aclose()

        assert await asyncio.to_thread(endless.left.wait, LEFT_S)
