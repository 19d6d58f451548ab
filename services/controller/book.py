"""The live record of one run: how it stands, what happens in it, who watches."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import datetime

from services.controller import metrics
from services.controller.events import Broadcast
from services.controller.store import RunFolder, Store, StoredRun
from zeroloop.core.runs import (
    Condition,
    ConditionType,
    EventType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
    WatchUpdate,
)

logger = logging.getLogger(__name__)

Now = Callable[[], datetime]


class RunBook:
    """One run. Every change is kept at once, so that a crash forgets nothing that was shown."""

    def __init__(self, store: Store, stored: StoredRun, now: Now) -> None:
        self._store = store
        self._stored = stored
        self._now = now
        self._broadcast = Broadcast()

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._stored.run

    @property
    def request_id(self) -> str:
        """Of the request that made it."""
        return self._stored.request_id

    @property
    def traceparent(self) -> str:
        """Trace context in which it was created."""
        return self._stored.traceparent

    @property
    def folder(self) -> RunFolder:
        """Its places on disk."""
        return self._store.folder(self.run.name)

    @property
    def events(self) -> list[RunEvent]:
        """What is kept of what happened, oldest first."""
        return self._store.events(self.run.name)

    def emit(
        self,
        kind: EventType,
        message: str,
        *,
        round_index: int | None = None,
        stage: str = "",
        figures: Mapping[str, float] | None = None,
    ) -> None:
        """Tell watchers what happened and, but for progress, keep it."""
        event = RunEvent(
            at=self._now(),
            type=kind,
            round=self.run.status.round if round_index is None else round_index,
            stage=stage,
            message=message,
            figures=dict(figures or {}),
        )
        if kind is not EventType.PROGRESS:
            try:
                self._store.append_event(self.run.name, event)
            except OSError as error:
                # What is shown may not be kept, which is no reason to stop playing.
                logger.warning("event_not_kept", extra={"error": str(error)})
            logger.info("run_event", extra={"type": kind.value, "text": message})
        self._broadcast.publish(WatchUpdate(event=event))

    def set_spec(self, spec: RunSpec) -> None:
        """Change what is wanted: `rounds` or `suspend`."""
        self._replace(replace(self.run, spec=spec))

    def set_status(self, status: RunStatus) -> None:
        """Change how the run stands."""
        if status != self.run.status:
            self._replace(replace(self.run, status=status))

    def set_phase(self, phase: Phase, message: str = "") -> None:
        """Change the phase, and say so."""
        before = self.run.status.phase
        status = replace(self.run.status, phase=phase)
        if phase is Phase.STARTING and status.started_at is None:
            status = replace(status, started_at=self._now())
        ended = phase.ended or phase in (Phase.DEGRADED, Phase.SUSPENDED)
        status = replace(
            status,
            ended_at=self._now() if phase.ended else None,
            stage="" if ended else status.stage,
        )
        metrics.phase_entered(self.run.name, phase, changed=phase is not before)
        # The event comes first: a watch ends with the status that says that the run has.
        if phase is not before:
            self.emit(EventType.STATE, message or phase.value)
        self.set_status(status)

    def set_condition(
        self, kind: ConditionType, *, status: bool, reason: str, message: str = ""
    ) -> None:
        """Say that something is true or not, and why."""
        condition = Condition(
            type=kind, status=status, reason=reason, changed_at=self._now(), message=message
        )
        self.set_status(self.run.status.with_condition(condition))

    async def watch(self) -> AsyncIterator[WatchUpdate]:
        """Yield the run, then what happens in it until it ends."""
        with self._broadcast.watch() as updates:
            yield WatchUpdate(run=self.run)
            if self.run.status.phase.ended:
                return
            async for update in updates:
                yield update
                if update.run is not None and update.run.status.phase.ended:
                    return

    def close(self) -> None:
        """End every watch: nobody plays the run from here any more."""
        metrics.playing.left(self.run.name)
        self._broadcast.close()

    def _replace(self, run: Run) -> None:
        self._stored = replace(self._stored, run=run)
        self._store.save(self._stored)
        self._broadcast.publish(WatchUpdate(run=run))
