"""One running sandbox, seen from the service: orders in, ends out."""

import asyncio
import contextlib
import itertools
import secrets
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

from services.execution.flight import (
    End,
    Flight,
    ResetImpossibleError,
    RunNotStartedError,
    SandboxLostError,
    settle,
)
from services.execution.frames import (
    Done,
    FrameError,
    How,
    NotStarted,
    OverCpu,
    Ready,
    ResetImpossible,
    RunOrder,
    TakesLong,
    WorkersReady,
    decode_reply,
    encode_kill,
    encode_run,
)
from services.execution.guest.wire import Frames
from services.execution.isolation.launch import Launched, Launcher
from services.execution.meter import HostMeter, Sample, Tape, all_used, spent_s

READY_S = 20.0
"""From start to ready takes 0.2 s; ten agents on two cores may stretch that a lot."""

OVERDUE_S = 5.0
"""After its wall-clock limit, how long a run may stay unreported before its sandbox is lost."""

BASELINE_S = 0.05
"""Runs older than this have their processor time watched from the host; few get that old."""

BASELINE_AT_ONCE_S = 0.5
"""Under limits below this, so much unwatched time would matter: watched from the beginning."""

WAITED_MUCH = 1.5
"""A loop that took so many times its limit has waited for a processor."""

RECHECK_S = 0.02
SAMPLE_S = 0.02
"""Between two looks at what a sandbox has used, while it has runs in `reset`."""

READ_BYTES = 1 << 16
STDERR_BYTES = 2048
"""Of what a sandbox has to say, the last part is kept for the error message."""

_ids = itertools.count()
_names = f"zeroloop-{secrets.token_hex(4)}"
"""Of this service alone: gVisor before 2023 listens at an address made of a sandbox's name."""


class Sandbox:
    """Runs programs in either mode. Use `start`, then `run` and `submit`, then `close`."""

    def __init__(self, launcher: Launcher, launched: Launched, workers: int) -> None:
        self._launcher = launcher
        self._launched = launched
        self._free = deque(range(workers))
        self._flights: dict[int, Flight] = {}
        self._run_ids = itertools.count(1)
        self._orders: list[bytes] = []
        self._ordered = asyncio.Event()
        self._ready = asyncio.Event()
        self._awaited = {Ready} | ({WorkersReady} if launcher.resets else set())
        self._reset_impossible = ""
        self._quiet_until_s = 0.0
        """Something must be heard of the runs in `reset` by then."""

        self._stderr = b""
        self._meter, self._tape = HostMeter(), Tape()
        self._loop = asyncio.get_running_loop()
        self._judges: set[asyncio.Task[None]] = set()
        duties = [self._read(), self._write(), self._drain(), self._mind_silence()]
        duties += [self._record()] if launcher.watched and launcher.resets else []
        self._tasks = [asyncio.create_task(duty) for duty in duties]
        self.lost = asyncio.Event()
        self.runs = 0
        """Of mode `strict`; a worker of `reset` counts its own."""

    @classmethod
    async def start(
        cls, launcher: Launcher, folder: Path, *, workers: int, ready_s: float = READY_S
    ) -> "Sandbox":
        """Start a sandbox and wait until it takes work.

        Raises:
            SandboxLostError: It ended or was not ready in time; says what it wrote.
            ResetImpossibleError: It works, but not in the mode `reset` that it was to offer.
        """
        name = f"{_names}-{next(_ids)}"
        home = folder / name
        home.mkdir(mode=0o700)
        try:
            launched = await launcher.launch(name, home)
        except OSError as error:
            raise SandboxLostError(f"cannot start a sandbox: {error}") from error
        sandbox = cls(launcher, launched, workers)
        try:
            async with asyncio.timeout(ready_s):
                await sandbox._until_ready()
        except BaseException as error:
            await sandbox.close()
            if isinstance(error, TimeoutError):
                raise SandboxLostError(f"not ready within {ready_s:g} s") from error
            raise
        return sandbox

    @property
    def pid(self) -> int:
        return self._launched.process.pid

    @property
    def resets(self) -> bool:
        """Whether it offers mode `reset`."""
        return self._launcher.resets

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def memory_bytes(self) -> int:
        """Resident memory of the sandbox on the host; in a pod, of its supervisor."""
        return self._meter.memory_bytes(self.pid)

    async def run(self, order: RunOrder, seed: int) -> Done:
        """Run one program in `strict`, `workers` of them at once. Cancelling kills the program.

        Raises:
            SandboxLostError: The sandbox is gone.
            RunNotStartedError: The program never began.
        """
        if self.lost.is_set():
            raise SandboxLostError(self._why())
        run_id = next(self._run_ids)
        ended: asyncio.Future[Done] = self._loop.create_future()
        slot = self._free.popleft()
        flight = Flight(order, slot, self._loop.time(), lambda end: settle(ended, end))
        self._flights[run_id] = flight
        self.runs += 1
        watch = self._watch_later(run_id, flight)
        try:
            await self._send(encode_run(run_id, seed, slot, order))
            async with asyncio.timeout(order.wall_s + OVERDUE_S):
                return await asyncio.shield(ended)
        except TimeoutError:
            self._lose()
            raise SandboxLostError("a run is overdue") from None
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxLostError):
                await self._send(encode_kill(run_id, How.CANCELLED))
            # Its worker is free only once it has ended.
            await asyncio.wait((ended,), timeout=OVERDUE_S)
            raise
        finally:
            watch.cancel()

    def submit(self, order: RunOrder, seed: int, land: Callable[[End], None]) -> int:
        """Order a run in mode `reset`; returns its number. `land` is called with how it ended.

        The run waits in the sandbox for a worker.
        """
        run_id = next(self._run_ids)
        self._flights[run_id] = Flight(order, None, self._loop.time(), land)
        self._heard_in_time(order.wall_s)
        self._orders.append(encode_run(run_id, seed, 0, order, reset=True))
        self._ordered.set()
        return run_id

    def call_off(self, run_id: int) -> None:
        """End a run of mode `reset`, which lands as cancelled unless it has just ended."""
        if run_id in self._flights:
            self._orders.append(encode_kill(run_id, How.CANCELLED))
            self._ordered.set()

    async def close(self) -> None:
        """End the sandbox and everything in it."""
        self._lose()
        await self._launcher.end(self._launched)
        tasks = [*self._tasks, *self._judges]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._launched.folder, ignore_errors=True)

    async def _until_ready(self) -> None:
        gone = asyncio.create_task(self.lost.wait())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((gone, ready), return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, ready):
            task.cancel()
        if not self._ready.is_set():
            await asyncio.sleep(0.05)  # for what it has to say
            raise SandboxLostError(self._why())
        if self._reset_impossible:
            raise ResetImpossibleError(self._reset_impossible)

    def _heard_in_time(self, wall_s: float) -> None:
        """Somebody is at work: within the longest limit of a run something will be heard."""
        soon_s = self._loop.time() + wall_s + OVERDUE_S
        self._quiet_until_s = max(self._quiet_until_s, soon_s)

    async def _mind_silence(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._loop.time() < self._quiet_until_s:
                continue
            if any(flight.slot is None for flight in self._flights.values()):
                self._stderr += b"; runs are overdue"
                self._lose()

    async def _write(self) -> None:
        """Send what was submitted, many at a time."""
        while True:
            await self._ordered.wait()
            self._ordered.clear()
            orders = b"".join(self._orders)
            self._orders.clear()
            try:
                await self._send(orders)
            except SandboxLostError:
                self._lose()  # also what was submitted since

    async def _send(self, frame: bytes) -> None:
        stdin = self._launched.process.stdin
        assert stdin is not None
        if self.lost.is_set():
            raise SandboxLostError(self._why())
        try:
            stdin.write(frame)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            self._lose()
            raise SandboxLostError(self._why()) from error

    async def _read(self) -> None:
        stdout = self._launched.process.stdout
        assert stdout is not None
        frames = Frames()
        try:
            while data := await stdout.read(READ_BYTES):
                for payload in frames.feed(data):
                    self._handle(payload)
        except FrameError as error:
            self._stderr += f"; {error}".encode()
        finally:
            self._lose()

    def _handle(self, payload: bytes) -> None:
        match decode_reply(payload):
            case Done() as done:
                if flight := self._land(done.run_id):
                    if flight.slot is None:
                        self._heard_in_time(flight.order.wall_s)
                    flight.land(done)
            case Ready() | WorkersReady() | ResetImpossible() as reply:
                self._get_ready(reply)
            case TakesLong(run_id=run_id, elapsed_s=elapsed_s):
                self._watch(run_id, elapsed_s)
            case OverCpu(run_id=run_id):
                self._judges.add(judge := asyncio.create_task(self._judge_cpu(run_id)))
                judge.add_done_callback(self._judges.discard)
            case NotStarted(run_id=run_id, reason=reason):
                if flight := self._land(run_id):
                    flight.land(RunNotStartedError(reason))

    def _get_ready(self, reply: Ready | WorkersReady | ResetImpossible) -> None:
        """Ready is who takes work in all modes; that of the second interpreter waits for it."""
        match reply:
            case Ready():
                self._awaited.discard(Ready)
            case WorkersReady():
                self._awaited.discard(WorkersReady)
            case ResetImpossible(reason=reason):
                self._awaited.discard(WorkersReady)
                self._reset_impossible = reason
                if self._ready.is_set():  # it has worked until now
                    self._stderr += f"; {reason}".encode()
                    self._lose()
        if not self._awaited:
            self._ready.set()

    def _land(self, run_id: int) -> Flight | None:
        flight = self._flights.pop(run_id, None)
        if flight is not None and flight.slot is not None:
            self._free.append(flight.slot)
        return flight

    async def _drain(self) -> None:
        stderr = self._launched.process.stderr
        assert stderr is not None
        while data := await stderr.read(STDERR_BYTES):
            self._stderr = (self._stderr + data)[-STDERR_BYTES:]

    def _lose(self) -> None:
        self.lost.set()
        for run_id in list(self._flights):
            if flight := self._land(run_id):
                flight.land(SandboxLostError(self._why()))

    def _why(self) -> str:
        said = "; ".join(self._stderr.decode(errors="replace").split("\n")).strip("; ")
        return f"sandbox ended: {said or 'it said nothing'}"

    # Processor time. The sandbox's clock says when to look; what the host really gave decides.

    def _watch_later(self, run_id: int, flight: Flight) -> asyncio.TimerHandle:
        if flight.order.cpu_s < BASELINE_AT_ONCE_S:
            self._take_baseline(run_id)
        return self._loop.call_later(BASELINE_S, self._take_baseline, run_id)

    async def _record(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            if any(flight.slot is None for flight in self._flights.values()):
                self._tape.add(self._loop.time(), self._meter.sample(self.pid))
            else:
                self._tape.clear()

    def _watch(self, run_id: int, elapsed_s: float) -> None:
        """Look back to where a run of mode `reset` began that takes long."""
        flight = self._flights.get(run_id)
        if flight is not None:
            flight.started_s = self._loop.time() - elapsed_s
            if (known := self._tape.before(flight.started_s)) is not None:
                # What nobody measured may have been its own.
                flight.used_before_s = max(0.0, known[0] - flight.started_s)
                flight.baseline = known[1]

    def _take_baseline(self, run_id: int) -> None:
        flight = self._flights.get(run_id)
        if flight is not None and flight.used_before_s is None and self._launcher.watched:
            self._count_from_now(flight, self._loop.time() - flight.started_s)

    def _count_from_now(self, flight: Flight, used_before_s: float) -> None:
        flight.used_before_s = used_before_s
        flight.baseline = self._meter.sample(self.pid)

    async def _judge_cpu(self, run_id: int) -> None:
        """Kill a run as soon as it has really used what it may."""
        try:
            while flight := self._flights.get(run_id):
                used_s, now = await self._spent(flight)
                left_s = flight.order.cpu_s - used_s
                if left_s <= 0 and (how := self._verdict(flight, now, -left_s)):
                    await self._send(encode_kill(run_id, how))
                    return
                await asyncio.sleep(max(left_s, RECHECK_S))
        except OSError as error:
            self._stderr += f"; {error}".encode()
            self._lose()
        except SandboxLostError:
            pass

    def _verdict(self, flight: Flight, now: Sample, over_s: float) -> How | None:
        """How to end a run that is over its limit; None while waiting may end a doubt.

        In `reset` its neighbour may have run several programs while it waited for a processor.
        """
        limit_s, elapsed_s = flight.order.cpu_s, self._loop.time() - flight.started_s
        if flight.slot is not None or elapsed_s <= WAITED_MUCH * limit_s:
            return How.CPU
        if not self._launcher.watched:
            return How.PERHAPS_CPU
        if all_used(flight.baseline, now, limit_s - (flight.used_before_s or 0.0)):
            return How.CPU
        return How.PERHAPS_CPU if over_s >= limit_s else None

    async def _spent(self, flight: Flight) -> tuple[float, Sample]:
        """Processor seconds of a run, and the sample that says so."""
        yardstick = self._launched.yardstick
        if flight.used_before_s is None:
            # In a pod the clock that has reached the limit is right but for a factor; seen from a
            # host, a run this young may have used all the time there was.
            elapsed_s = self._loop.time() - flight.started_s
            self._count_from_now(flight, flight.order.cpu_s if yardstick else elapsed_s)
        assert flight.used_before_s is not None
        slowdown = await yardstick.slowdown() if yardstick else 1.0
        now = self._meter.sample(self.pid)
        return (flight.used_before_s + spent_s(flight.baseline, now)) / slowdown, now
