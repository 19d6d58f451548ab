"""One worker of mode `reset`, seen from the supervisor: its batch, and how far it has come."""

# ruff: noqa: TC004 (files here are run in one namespace, not imported)

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would double the zygote
    from services.execution.guest.area import (
        ANSWER_BYTES,
        ANSWERS_AT,
        AREA_BYTES,
        ORDERS_AT,
        Canary,
        Order,
        number,
        pack,
    )
    from services.execution.guest.supervisor import Request
    from services.execution.guest.wire import done

PIPE_BYTES = 1 << 16
NEVER_S = float("inf")
CANARY_WALL_S = 1.0
CANARY_RUNS = 8
"""After so many runs the canary is due, when the batch is over."""


class Worker:
    """One slot, in which workers follow each other."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        order_fd, self.wake_fd = posix.pipe()
        self.done_fd, done_fd = posix.pipe()
        self.area_fd = posix.memfd_create("area")
        posix.ftruncate(self.area_fd, AREA_BYTES)
        posix.set_blocking(self.done_fd, False)
        self.theirs = (order_fd, done_fd, self.area_fd)
        self.state = "none"
        """Then forking, idle, busy, dying, and forking again."""

        self.pid = self.runs = self.unproven_runs = self.memory_bytes = 0
        self.tenant = b""
        """Whose programs it has run; empty if nobody's."""

        self.idle_since_s = NEVER_S
        self.forget()

    def keep_ours(self) -> None:
        """The zygote has its ends now."""
        for fd in self.theirs[:2]:
            posix.close(fd)

    def forget(self) -> None:
        """No batch."""
        self.batch: list[Request] = []
        self.orders: list[Order] = []
        self.unwanted: set[int] = set()
        self.taken = self.begun = self.finished = 0
        self.moved_s = self.wall_end_s = self.cpu_check_s = NEVER_S
        self.cpu_end_s = 0.0
        self.watched_run = 0
        """Which run of the batch, counted from 1."""

        self.stops = False
        """It was told to stop before the end of its batch."""

        self.proves = False
        """Whether the canary ends its batch."""

        self.trusted = True
        self.killed_as = b""

    def begin(self, memory_bytes: int) -> None:
        """Another worker is being forked."""
        self.state = "forking"
        self.runs = self.unproven_runs = 0
        self.memory_bytes = memory_bytes
        self.tenant = b""

    def clear(self) -> None:
        """Leave nothing of a worker that has ended."""
        self.said()
        posix.pwrite(self.area_fd, bytes(ORDERS_AT), 0)
        self.forget()

    def rest(self) -> None:
        """It takes work."""
        self.state = "idle"
        self.idle_since_s = time.monotonic()

    def suits(self, request: "Request") -> bool:
        """Whether it may run this program, now or next, or whoever follows it will."""
        if self.state == "dying":
            return True
        same = self.tenant in (b"", request.tenant)
        return same and self.memory_bytes == request.memory_bytes

    def give(self, batch: "list[Request]") -> None:
        """Let it run a batch, and the canary after it if that is due."""
        self.tenant = batch[0].tenant
        self.batch = batch
        self.orders = [request.order for request in batch]
        self.unproven_runs += len(batch)
        self.proves = self.unproven_runs >= CANARY_RUNS
        if self.proves:
            self.orders.append(Canary.order())
        posix.pwrite(self.area_fd, pack(self.orders), 0)
        self.state = "busy"
        self.runs += len(batch)
        self.moved_s = time.monotonic()
        posix.write(self.wake_fd, b"o")

    def running(self) -> int | None:
        """The run that it is at, as far as we know."""
        at = self.begun - 1
        return self.batch[at].run_id if self.finished <= at < len(self.batch) else None

    def has(self, run_id: int) -> bool:
        return any(request.run_id == run_id for request in self.batch[self.taken :])

    def said(self) -> bytes:
        """All bytes that it wrote."""
        try:
            return posix.read(self.done_fd, PIPE_BYTES)
        except BlockingIOError:
            return b""

    def look(self, now_s: float) -> None:
        """How far it is."""
        head = posix.pread(self.area_fd, 24, 0)
        begun, finished = number(head, 8), number(head, 16)
        if (begun, finished) != (self.begun, self.finished):
            self.begun, self.finished, self.moved_s = begun, finished, now_s

    def has_stopped(self) -> bool:
        """Whether the byte that it wrote is what it should be."""
        enough = len(self.batch) if self.stops else len(self.orders)
        return self.state == "busy" and self.begun == self.finished >= enough

    def answers(self) -> "list[tuple[bytes, bytes]]":
        """What it has answered since somebody took that, each with the figures beside it."""
        until = min(self.finished, len(self.orders))
        rows = self.rows(self.taken, until)
        if not rows:
            return []
        # What lies there it may have written itself: it is only ever a place to read from.
        start = min(number(rows[0], 0), AREA_BYTES)
        size = sum([order.answer_max for order in self.orders[self.taken : until]])
        wanted = number(rows[-1], 0) + number(rows[-1], 8) - start
        data = posix.pread(self.area_fd, max(0, min(size, wanted)), start)
        return [(answer_in(data, row, start), row) for row in rows]

    def rows(self, first: int, until: int) -> list[bytes]:
        size = ANSWER_BYTES * max(0, until - first)
        table = posix.pread(self.area_fd, size, ANSWERS_AT + ANSWER_BYTES * first)
        return [table[at : at + ANSWER_BYTES] for at in range(0, size, ANSWER_BYTES)]

    def canary_lives(self, found: "list[tuple[bytes, bytes]]") -> bool:
        """Whether the answer is right that we know, if it is among these."""
        if not self.proves or self.finished < len(self.orders):
            return True
        self.unproven_runs = 0
        return found[-1][0] == Canary.answer

    def take(self, found: "list[tuple[bytes, bytes]]") -> "list[Request]":
        """Those runs of the batch whose answers these are; they are not taken again."""
        first = self.taken
        self.taken = min(len(self.batch), first + len(found))
        return self.batch[first : self.taken]

    def end_of(self, request: "Request", how: bytes, status: int) -> bytes:
        """The frame for the run that it ended with."""
        wall_us = int(max(0.0, time.monotonic() - self.moved_s) * 1e6)
        cpu_us = int(request.cpu_s * 1e6) if how == b"C" else 0
        return done(request.run_id, how, status, wall_us=wall_us, cpu_us=cpu_us)

    def cut_short(self, now_s: float) -> "list[Request]":
        """Let it stop after the run that it is at; returns the runs that it shall not do.

        It may have gone on before it sees that, and do one more: nobody will look at it.
        """
        while True:
            begun = self.begun
            posix.pwrite(self.area_fd, begun.to_bytes(8, "little"), 0)
            self.look(now_s)
            if self.begun == begun:
                break
        self.stops = True
        rest = self.batch[begun:]
        del self.batch[begun:]
        return rest

    def watch(self, now_s: float) -> float | None:
        """Begin to enforce the limits of the run that it is at; for how long it has run.

        None if that is the canary, or if the run has just ended.
        """
        self.watched_run = self.begun
        if self.begun == self.finished:
            return None
        if self.begun > len(self.batch):
            self.wall_end_s, self.cpu_check_s = now_s + CANARY_WALL_S, NEVER_S
            return None
        request = self.batch[self.begun - 1]
        elapsed_s = now_s - self.moved_s
        self.wall_end_s = self.moved_s + request.wall_s
        self.cpu_check_s = self.moved_s + request.cpu_s
        # All the time that we did not watch may have been its own.
        self.cpu_end_s = self.cpu_clock_s() + request.cpu_s - elapsed_s
        return elapsed_s

    def cpu_left_s(self) -> float:
        """Of the limit, by the sandbox's clock."""
        return self.cpu_end_s - self.cpu_clock_s()

    def cpu_clock_s(self) -> float:
        try:
            return time.clock_gettime(((~self.pid) << 3) | 2)  # clock_getcpuclockid(3)
        except OSError:  # it has just ended
            return NEVER_S


def answer_in(data: bytes, row: bytes, start: int) -> bytes:
    at = number(row, 0) - start
    return data[at : at + number(row, 8)] if at >= 0 else b""


def result_of(request: "Request", answer: bytes, row: bytes, *, unwanted: bool) -> bytes:
    """The frame for a run that a worker has finished."""
    how = b"X" if unwanted else b"E" if answer else b"U"
    return done(
        request.run_id,
        how,
        wall_us=number(row, 16) // 1000,
        cpu_us=number(row, 24) // 1000,
        peak_bytes=number(row, 32),
        answer=answer,
    )
