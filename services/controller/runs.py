"""The runs of one controller: created, driven, suspended, resumed, stopped."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context

from services._server import semconv, telemetry
from services.controller.book import Now, RunBook
from services.controller.decide import Halt, Observed, Pause, Spec
from services.controller.loop import run
from services.controller.options import effective
from services.controller.paging import size_of, strange
from services.controller.platforms.base import RunPlatform
from services.controller.preparing import Prepared, prepare, require_one_machine
from services.controller.settling import fail, report_seen, settle, wants_play
from services.controller.store import Store, StoredRun, check_name, name_of
from zeroloop.core.runs import (
    ConditionType,
    Endpoints,
    EventPage,
    Phase,
    Run,
    RunPage,
    RunSpec,
    RunStatus,
    WatchUpdate,
)
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    ZeroloopError,
    invalid,
)

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__, schema_url=semconv.SCHEMA_URL)

REQUEST_ID_CHARS_MAX = 128

ALIVE = (Phase.PENDING, Phase.STARTING, Phase.PLAYING)


MakePlatform = Callable[[RunBook, Prepared], RunPlatform]


class Runs:
    """Every run of one store, and those that are played now."""

    def __init__(
        self,
        store: Store,
        make: MakePlatform,
        now: Now,
        *,
        active_max: int,
        tick_s: float,
        one_machine: bool = True,
    ) -> None:
        # On one machine nothing of a run goes on when another one needs the place.
        self._one_machine = one_machine
        self._leads = one_machine
        self._store = store
        self._make = make
        self._now = now
        self._tick_s = tick_s
        self._places = asyncio.Semaphore(active_max)
        self._books: dict[str, RunBook] = {}
        self._active: dict[str, RunPlatform] = {}
        """Runs that are driven, or whose services still answer."""

        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._playing: set[str] = set()
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._failed: set[str] = set()

    def get(self, name: str) -> Run:
        """Return a run as it stands."""
        return self._book(name).run

    def page(self, page_size: int, page_token: str) -> RunPage:
        """Return one page of runs, newest first; the token is the last name of the page before."""
        self._require_lead()
        names = self._store.names()
        if page_token and page_token not in names:
            raise strange(page_token)
        start = names.index(page_token) + 1 if page_token else 0
        end = start + size_of(page_size)
        runs = tuple(self.get(name) for name in names[start:end])
        return RunPage(runs, names[end - 1] if end < len(names) else "")

    async def events(self, name: str, page_size: int, page_token: str) -> EventPage:
        """Return one page of a run's events, oldest first; the token counts those before it."""
        if page_token and not page_token.isdecimal():
            raise strange(page_token)
        start = int(page_token or 0)
        end = start + size_of(page_size)
        found = await asyncio.to_thread(self._store.events, self._book(name).run.name)
        return EventPage(tuple(found[start:end]), str(end) if end < len(found) else "")

    def watch(self, name: str) -> AsyncIterator[WatchUpdate]:
        """Yield what happens in a run until it ends."""
        return self._book(name).watch()

    def endpoints(self, name: str) -> Endpoints:
        """Where the services of a run listen; without a name, of the one that is active.

        Raises:
            FailedPreconditionError: They do not run.
        """
        self._require_lead()
        if name:
            self._book(name)
        found = [name] if name in self._active else list(self._active) if not name else []
        for active in found:
            endpoints = self._active[active].endpoints
            if endpoints.buffer:
                return endpoints
        raise FailedPreconditionError(
            f"no services run for {name or 'any run'} at the moment; resume a run first"
        )

    # ---- steering

    async def create(self, name: str, spec: RunSpec, request_id: str) -> Run:
        """Create a run and begin to play it.

        Raises:
            AlreadyExistsError: A run of this name has another spec.
        """
        if not name and not request_id:
            raise invalid("request_id", "is required where no name is given")
        if len(request_id) > REQUEST_ID_CHARS_MAX:
            raise invalid("request_id", f"must be at most {REQUEST_ID_CHARS_MAX} characters")
        self._require_lead()
        name = name or name_of(request_id)
        check_name(name)
        if name in self._store.names():
            return self._existing(name, spec, request_id)
        prepared = await self._prepare(spec)
        spec = replace(spec, rounds=spec.rounds or prepared.settings.algorithm.total_steps)
        made = Run(
            name=name,
            spec=spec,
            status=RunStatus(),
            created_at=self._now(),
            effective_settings=effective(spec, prepared.settings),
        )
        # A short root: whatever is played later has traces of its own that link to it.
        with tracer.start_as_current_span(
            semconv.SPAN_RUN, Context(), attributes={semconv.RUN_NAME: name}
        ):
            self._store.save(StoredRun(made, request_id, telemetry.traceparent()))
        await self._store.settle(name)
        book = self._book(name)
        if name not in self._tasks:
            self._begin(book)
        return book.run

    async def suspend(self, name: str) -> Run:
        """Let the present stage end, then play no further."""
        book = self._book(name)
        if book.run.status.phase.ended:
            raise FailedPreconditionError(f"run {name} is {book.run.status.phase}")
        book.set_spec(replace(book.run.spec, suspend=True))
        await self._store.settle(name)
        return book.run

    async def resume(self, name: str, rounds: int) -> Run:
        """Go on at the first missing stage.

        Raises:
            InvalidRequestError: `rounds` is below the round being played.
        """
        book = self._book(name)
        await self._stopped(name)
        spec = book.run.spec
        if rounds and rounds < max(1, book.run.status.round):
            raise invalid(
                "rounds",
                f"must not be below the present round {book.run.status.round}, got {rounds}",
            )
        book.set_spec(replace(spec, rounds=rounds or spec.rounds, suspend=False))
        await self._store.settle(name)
        if name not in self._tasks:
            self._begin(book)
        return book.run

    async def stop(self, name: str, *, resumable: bool) -> Run:
        """Stop within seconds, even if the caller gives up meanwhile."""
        book = self._book(name)
        await self._stopped(name)
        task = asyncio.create_task(self._stop(book, resumable=resumable), name=f"stop-{name}")
        self._stopping[name] = task
        await asyncio.shield(task)
        return book.run

    async def close(self) -> None:
        """Leave every run so that it can be resumed; nothing that was started is left."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._stopping.values(), return_exceptions=True)
        await asyncio.gather(*(self._close(name) for name in list(self._active)))
        for book in self._books.values():
            if self._one_machine and book.run.status.phase in ALIVE:
                book.set_phase(Phase.SUSPENDED, "the controller ended; resume goes on")
            book.close()

    def restore(self, *, resume: bool) -> None:
        """Take over the runs that a controller left that did not end properly."""
        for name in self._store.names():
            book = self._book(name)
            if book.run.status.phase not in ALIVE:
                continue
            if resume and not book.run.spec.suspend:
                self._begin(book)
            else:
                book.set_phase(Phase.SUSPENDED, "the controller was gone; resume goes on")

    def lead(self) -> None:
        """Begin to play: this is the controller that may."""
        self._leads = True
        for name in self._store.names():
            self.reconcile(name)

    def reconcile(self, name: str) -> None:
        """Look again at a run that others may have created, changed or deleted."""
        if not self._leads:
            return
        try:
            stored = self._store.load(name)
        except NotFoundError:
            self._forget(name)
            return
        book = self._book(name)
        changed = stored.run.spec != book.run.spec
        if changed:
            book.set_spec(stored.run.spec)
        idle = name not in self._tasks and name not in self._stopping
        if idle and wants_play(book.run, changed=changed):
            self._begin(book)

    # ---- driving

    def _forget(self, name: str) -> None:
        """The run was deleted, and the cluster deletes what belongs to it."""
        book = self._books.pop(name, None)
        if book is None:
            return
        book.close()
        task = asyncio.create_task(self._end(name), name=f"forget-{name}")
        self._stopping[name] = task

        def ended(_: asyncio.Task[None]) -> None:
            del self._stopping[name]
            self.reconcile(name)  # It may have been created again meanwhile.

        task.add_done_callback(ended)

    async def _prepare(self, spec: RunSpec) -> Prepared:
        prepared = await asyncio.to_thread(prepare, spec)
        if self._one_machine:
            require_one_machine(prepared.settings)
        return prepared

    async def _stopped(self, name: str) -> None:
        """Wait for a stop that is under way: new services would meet the old ones."""
        while (task := self._stopping.get(name)) is not None:
            await asyncio.wait([task])

    async def _stop(self, book: RunBook, *, resumable: bool) -> None:
        name = book.run.name
        try:
            platform = self._active.get(name)
            await self._end(name)
            if platform is not None and not self._one_machine:
                await platform.rest(completed=False)
            if resumable:
                if not self._one_machine:
                    # Whoever looks at the object next would go on with it.
                    book.set_spec(replace(book.run.spec, suspend=True))
                if not book.run.status.phase.ended:
                    message = "stopped; resume goes on at the first missing stage"
                    book.set_phase(Phase.SUSPENDED, message)
            elif book.run.status.phase not in (Phase.COMPLETED, Phase.STOPPED):
                book.set_phase(Phase.STOPPED)
        finally:
            del self._stopping[name]

    async def _end(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._close(name)

    def _existing(self, name: str, spec: RunSpec, request_id: str) -> Run:
        book = self._book(name)
        known = book.run.spec
        same = replace(known, rounds=spec.rounds, suspend=spec.suspend) == spec
        if same and request_id in ("", book.request_id):
            return book.run
        raise AlreadyExistsError(
            f"run {name!r} exists with another spec or of another request; choose another name, or "
            "resume it"
        )

    def _require_lead(self) -> None:
        if not self._leads:
            raise UnavailableError("this controller waits to take over; ask the one that leads")

    def _book(self, name: str) -> RunBook:
        self._require_lead()
        if name not in self._books:
            self._books[name] = RunBook(self._store, self._store.load(name), self._now)
        return self._books[name]

    def _begin(self, book: RunBook) -> None:
        name = book.run.name
        book.set_phase(Phase.PENDING)
        book.set_condition(ConditionType.PROGRESSING, status=False, reason="Waiting")
        task = asyncio.create_task(self._drive(book), name=f"run-{name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _drive(self, book: RunBook) -> None:
        async with self._places:
            self._playing.add(book.run.name)
            if self._one_machine:
                await self._close_idle()
            try:
                await self._play(book)
            except InvalidRequestError as error:
                book.set_condition(
                    ConditionType.ACCEPTED, status=False, reason="SpecInvalid", message=str(error)
                )
                fail(book, "SpecInvalid", str(error))
            except ZeroloopError as error:
                fail(book, type(error).__name__.removesuffix("Error"), str(error))
            except Exception:
                logger.exception("run_failed", extra={"run": book.run.name})
                fail(book, "InternalError", "internal error; the controller's log has it")
            finally:
                self._playing.discard(book.run.name)

    async def _play(self, book: RunBook) -> None:
        name = book.run.name
        prepared = await self._prepare(book.run.spec)
        book.set_condition(ConditionType.ACCEPTED, status=True, reason="SpecValid")
        if name in self._failed:
            # Whatever was broken or refused is looked at with fresh eyes.
            await self._close(name)
        if name not in self._active:
            self._active[name] = self._make(book, prepared)
        platform = self._active[name]
        self._failed.add(name)  # Until it ends well.
        book.set_phase(Phase.STARTING)

        def wanted() -> Spec:
            spec = book.run.spec
            return Spec(
                rounds=spec.rounds,
                suspend=spec.suspend,
                evaluate=bool(prepared.heldout),
                rounds_per_job=prepared.settings.play.training.segment_rounds,
                colocate=prepared.settings.play.training.colocate,
                trainer_failures_max=prepared.settings.play.training.failures_max,
            )

        def report(observed: Observed) -> None:
            replicas = prepared.settings.play.inference.replicas
            report_seen(book, observed, wanted(), replicas)

        ended = await run(wanted, platform, tick_s=self._tick_s, report=report)
        problem = platform.problem
        completed = isinstance(ended, Halt) and ended.completed
        await platform.rest(completed=completed)
        if isinstance(ended, Pause) or completed:
            self._failed.discard(name)
        settle(book, ended, problem)

    async def _close_idle(self) -> None:
        """Free the machine of services that are left from runs that are not played now."""
        for name in [name for name in self._active if name not in self._playing]:
            await self._close(name)

    async def _close(self, name: str) -> None:
        platform = self._active.pop(name, None)
        if platform is not None:
            with contextlib.suppress(ZeroloopError):
                await platform.close()
