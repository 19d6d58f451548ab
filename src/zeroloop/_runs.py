"""Runs of self-play, as both faces of the SDK show them."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self

from zeroloop._results import RunView
from zeroloop._switchboard import Switchboard
from zeroloop.core import runs as values
from zeroloop.core.runs import RunEvent, RunSpec
from zeroloop.errors import UnavailableError

PAGE_SIZE = 500
"""Events asked for in one message."""

RECONNECTS_MAX = 5
"""Times in a row that a watch is begun anew without hearing anything."""

RECONNECT_AFTER_S = 1.0


class Run(RunView):
    """A run as it stood at the last look, and what can be done with it."""

    def __init__(self, switchboard: Switchboard, value: values.Run) -> None:
        self._switchboard = switchboard
        self._value = value

    @property
    def value(self) -> values.Run:
        """Everything that is known of the run."""
        return self._value

    async def refresh(self) -> Self:
        """Look again."""
        self._value = await self._switchboard.runs().get_run(self.name)
        return self

    async def watch(self) -> AsyncGenerator[RunEvent]:
        """Yield what happens until the run ends.

        The run itself is kept up to date meanwhile. A lost connection is taken up again.

        Raises:
            UnavailableError: The controller stays away.
        """
        silent = 0
        while True:
            updates = self._switchboard.runs().watch_run(self.name)
            try:
                async with aclosing(updates):
                    async for update in updates:
                        silent = 0
                        self._value = update.run or self._value
                        if update.event is not None:
                            yield update.event
                return
            except UnavailableError:
                silent += 1
                if silent > RECONNECTS_MAX:
                    raise
                await asyncio.sleep(RECONNECT_AFTER_S)

    async def events(self) -> list[RunEvent]:
        """Return what has happened so far, but for progress, oldest first."""
        found: list[RunEvent] = []
        page_token = ""
        while True:
            page = await self._switchboard.runs().list_events(
                self.name, page_size=PAGE_SIZE, page_token=page_token
            )
            found += page.events
            page_token = page.next_page_token
            if not page_token:
                return found

    async def wait(self) -> Self:
        """Return when the run has ended."""
        async with aclosing(self.watch()) as events:
            async for _ in events:
                pass
        return await self.refresh()

    async def suspend(self) -> Self:
        """Let the present stage end, then play no further until `resume`."""
        self._value = await self._switchboard.runs().suspend_run(self.name)
        return self

    async def resume(self, *, rounds: int = 0) -> Self:
        """Go on at the first missing stage; `rounds` in all, 0 leaves it."""
        self._value = await self._switchboard.runs().resume_run(self.name, rounds=rounds)
        return self

    async def stop(self, *, resumable: bool = False) -> Self:
        """Stop within seconds, for good or until `resume`."""
        self._value = await self._switchboard.runs().stop_run(self.name, resumable=resumable)
        return self


class Runs:
    """Runs of self-play."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def create(
        self,
        *,
        model: str,
        rounds: int = 0,
        preset: str = "paper",
        seed: int = 0,
        name: str = "",
        settings: Mapping[str, Any] | None = None,
        heldout: str = "",
        request_id: str = "",
    ) -> Run:
        """Create a run and start to play it.

        Args:
            model: Folder of a Hugging Face causal language model, or `hf://ORG/NAME`.
            rounds: To play in all; 0: as many as the setting `total_steps` says.
            preset: `paper` or `seedling`.
            seed: Drives every random choice.
            name: Lower-case letters, digits and hyphens; empty: made up.
            settings: What differs from the preset, by name as in docs/reference/settings.md.
            heldout: JSONL of held-out tasks; empty: the model folder's heldout.jsonl.
            request_id: Repeating it returns the same run; empty: a fresh one.

        Raises:
            InvalidRequestError: A setting is unknown or out of range; names each one.
            AlreadyExistsError: A run of this name has another spec.
        """
        spec = RunSpec(
            model=model,
            rounds=rounds,
            preset=preset,
            seed=seed,
            settings=dict(settings or {}),
            heldout=heldout,
        )
        request_id = request_id or uuid.uuid4().hex
        value = await self._switchboard.runs().create_run(spec, request_id=request_id, name=name)
        return Run(self._switchboard, value)

    async def get(self, name: str) -> Run:
        """Return a run by its name."""
        return Run(self._switchboard, await self._switchboard.runs().get_run(name))

    async def list(self, *, limit: int | None = None) -> list[Run]:
        """Return runs, newest first; at most `limit`."""
        found: list[values.Run] = []
        page_token = ""
        while limit is None or len(found) < limit:
            page = await self._switchboard.runs().list_runs(page_token=page_token)
            found += page.runs
            page_token = page.next_page_token
            if not page_token:
                break
        return [Run(self._switchboard, value) for value in found[:limit]]

    async def suspend(self, name: str) -> Run:
        """Let the present stage of a run end, then play no further until `resume`."""
        return await (await self.get(name)).suspend()

    async def resume(self, name: str, *, rounds: int = 0) -> Run:
        """Go on at the first missing stage; `rounds` in all, 0 leaves it."""
        return await (await self.get(name)).resume(rounds=rounds)

    async def stop(self, name: str, *, resumable: bool = False) -> Run:
        """Stop a run within seconds, for good or until `resume`."""
        return await (await self.get(name)).stop(resumable=resumable)
