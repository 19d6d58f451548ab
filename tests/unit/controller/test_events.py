"""Watchers see everything in order, however slow they are, in bounded memory."""

from datetime import UTC, datetime

from services.controller.events import PENDING_MAX, Broadcast
from zeroloop.core.runs import EventType, RunEvent, WatchUpdate

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def update(kind: EventType, number: int) -> WatchUpdate:
    return WatchUpdate(event=RunEvent(at=NOON, type=kind, round=number))


async def test_a_slow_watcher_loses_progress_before_anything_else() -> None:
    broadcast = Broadcast()
    with broadcast.watch() as updates:
        for number in range(PENDING_MAX):
            kind = EventType.PROGRESS if number % 2 else EventType.STAGE
            broadcast.publish(update(kind, number))
        for number in range(100):
            broadcast.publish(update(EventType.ROUND, number))
        broadcast.close()
        seen = [u.event async for u in updates if u.event]

    stages = [event.round for event in seen if event.type is EventType.STAGE]
    assert stages == list(range(0, PENDING_MAX, 2))
    assert [e.round for e in seen if e.type is EventType.ROUND] == list(range(100))
    assert len(seen) == PENDING_MAX


async def test_a_watcher_that_left_costs_nothing() -> None:
    broadcast = Broadcast()
    with broadcast.watch():
        pass

    broadcast.publish(update(EventType.STAGE, 1))
    broadcast.close()
