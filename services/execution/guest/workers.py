"""Mode `reset`: workers that put their memory back after every run, seen from the supervisor.

One zygote per interpreter forks the workers, kills them and tells how they ended (`driver.c`). A
byte wakes a worker for a batch, a byte tells that it has stopped. Any other byte, and any end that
we did not order, makes a run unsure: it is to be done again in `strict`, which is the host's
business.
"""

# ruff: noqa: SLF001, TC004 (files here are run in one namespace, not imported)
# pyright: reportPrivateUsage=false

import posix
import time
from _collections import deque  # pyright: ignore[reportMissingImports] (`collections` is large)

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would double the zygote
    import select
    from collections.abc import Callable

    from services.execution.guest.area import ORDERS_MAX, ROOM_BYTES, Order, number
    from services.execution.guest.supervisor import Request, Settings
    from services.execution.guest.wire import done
    from services.execution.guest.worker import Worker, result_of

RECORD_BYTES = 16
READY, FORKED, ENDED, FAILED = KINDS = b"A", b"P", b"X", b"E"
POLLIN = 1  # of `select`
PIPE_BYTES, WORDS_BYTES = 1 << 16, 1 << 10
REPORTS_FD = 66
NOTICED_S = 0.03
"""A run that takes longer is watched, and the rest of its batch goes elsewhere."""

BATCH_S = 0.004
"""A batch is worth so much of a worker's time: to wake another takes as long as a short run."""

SMOOTHING, TRIVIAL_S = 0.1, 1e-4
KEPT_IDLE_S = 0.5
"""For the next program of its tenant, while others' wait."""

STUCK_S = 5.0
"""A worker that neither runs nor stops is given up; one that was told to stop, much earlier."""

STRAY_S = 1.0
TICK_S = 0.01
NEVER_S = float("inf")
RUNS_MAX = 10_000
"""Then a worker is replaced, whatever its memory looks like."""

FAILED_FORKS_MAX = 3
SETUP_FAILED, COPY_BROKEN = 96 << 8, 97 << 8
UNSURE = b"U"


class Workers:
    """All workers of one interpreter, and the runs that wait for one."""

    def __init__(
        self,
        settings: "Settings",
        poll: "select.poll",
        send: "Callable[[bytes], None]",
        zygote: "Callable[[list[int]], None]",
    ) -> None:
        self.settings = settings
        self.send = send
        self.queue: deque[Request] = deque()
        self.workers = [Worker(slot) for slot in range(settings.workers)]
        self.by_fd = {worker.done_fd: worker for worker in self.workers}
        self.failed_forks = 0
        self.gave_up = False
        self.usual_run_s = BATCH_S
        self.buffer = b""
        theirs, self.command_fd = posix.pipe()
        self.report_fd, reports = posix.pipe()
        given = [theirs, reports, *[fd for worker in self.workers for fd in worker.theirs]]
        self.zygote_pid = posix.fork()
        if self.zygote_pid == 0:
            try:
                zygote(given)  # never returns
            except BaseException as error:  # noqa: BLE001 (told, whatever it is)
                words = b"! " + repr(error).encode()[:WORDS_BYTES]  # no record begins so
                for fd in (REPORTS_FD, reports):  # where it has moved to, or is still
                    try:
                        posix.write(fd, words)
                        break
                    except OSError:
                        pass
            finally:
                posix._exit(1)
        for fd in (theirs, reports):
            posix.close(fd)
        for worker in self.workers:
            worker.keep_ours()
        self.poll = poll
        for fd in (self.report_fd, *self.by_fd):
            poll.register(fd, POLLIN)

    # What the host wants.

    def submit(self, request: "Request") -> None:
        request.order = Order(
            request.source, request.arguments, request.stdout_bytes, request.value_bytes
        )
        self.queue.append(request)

    def kill(self, run_id: int, how: bytes) -> bool:
        """End a run; whether it was one of ours."""
        for request in self.queue:
            if request.run_id == run_id:
                self.queue.remove(request)
                self.send(done(request.run_id, how))
                return True
        for worker in self.workers:
            if worker.state in ("busy", "dying") and worker.has(run_id):
                worker.look(time.monotonic())
                if worker.state == "busy" and worker.running() == run_id:
                    self.end(worker, how)
                else:
                    worker.unwanted.add(run_id)
                return True
        return False

    def put_back(self, requests: "list[Request]", unwanted: set[int]) -> None:
        """Queue runs again that their worker will not do, but for those that nobody wants."""
        for request in reversed(requests):
            if request.run_id in unwanted:
                self.send(done(request.run_id, b"X"))
            else:
                self.queue.appendleft(request)

    def assign(self) -> None:
        """Give waiting runs to workers that are free.

        A worker runs the programs of one tenant under one limit of memory. For those that suit
        nobody, one that is free is replaced; also one that has been free for long.
        """
        for worker in self.workers:
            if self.queue and worker.state == "idle":
                self.employ(worker)

    def employ(self, worker: "Worker") -> None:
        somebody = any(each.suits(self.queue[0]) for each in self.workers)
        batch = self.batch(worker) if somebody else []
        if batch:
            worker.give(batch)
        elif not somebody or time.monotonic() - worker.idle_since_s > KEPT_IDLE_S:
            self.end(worker, b"")

    def batch(self, worker: "Worker") -> "list[Request]":
        """A fair share of what waits for this worker, or more if runs are short."""
        fair, worth_it = -(-len(self.queue) // len(self.workers)), int(BATCH_S / self.usual_run_s)
        share, room = min(ORDERS_MAX - 1, max(fair, worth_it)), ROOM_BYTES
        batch: list[Request] = []
        others: list[Request] = []
        while self.queue and len(batch) < share:
            request = self.queue.popleft()
            first = batch[0] if batch else request
            if not worker.suits(request) or request.tenant != first.tenant:
                others.append(request)
                continue
            room -= request.order.size()
            if room < 0:
                others.append(request)
                break
            batch.append(request)
        self.queue.extendleft(reversed(others))
        return batch

    # What the zygote and the workers say.

    def handle(self, fd: int) -> bool:
        """Read from `fd`; whether it was one of ours."""
        if fd == self.report_fd:
            self.read_reports()
        elif fd in self.by_fd:
            self.stopped(self.by_fd[fd])
        else:
            return False
        return True

    def read_reports(self) -> None:
        data = posix.read(self.report_fd, PIPE_BYTES)
        if not data:
            _, status = posix.waitpid(self.zygote_pid, 0)
            words = self.buffer.decode(errors="replace")
            self.give_up(f"its zygote has ended with status {status}: {words}")
            return
        self.buffer += data
        if not self.buffer.startswith(KINDS):  # words, because something went wrong
            return
        while len(self.buffer) >= RECORD_BYTES:
            record, self.buffer = self.buffer[:RECORD_BYTES], self.buffer[RECORD_BYTES:]
            self.report(record)

    def report(self, record: bytes) -> None:
        kind, worker = record[:1], self.workers[record[1]]
        pid, status = (int.from_bytes(record[at : at + 4], "little") for at in (4, 8))
        if kind == READY:
            for each in self.workers:
                self.fork(each)
            self.send(b"W")
        elif kind == FORKED:
            worker.pid = pid
            worker.rest()
        elif kind == ENDED:
            self.ended(worker, status)
        else:
            self.give_up(f"no worker can be made: {posix.strerror(status)}")

    def fork(self, worker: "Worker") -> None:
        wanted = self.queue[0].memory_bytes if self.queue else self.settings.memory_bytes
        worker.begin(wanted)
        uid = self.settings.uid
        if uid >= 0:  # users of their own, apart from those of `strict`
            uid -= (1 + self.settings.interpreter) * self.settings.workers + worker.slot
        words = ((uid & 0xFFFFFFFF).to_bytes(4, "little"), wanted.to_bytes(8, "little"))
        self.command(b"F", worker, *words)

    def end(self, worker: "Worker", how: bytes) -> None:
        """Have it killed; `how` is what that means for the run that it is at."""
        worker.killed_as = how
        worker.state = "dying"
        self.command(b"K", worker, bytes(12))

    def command(self, kind: bytes, worker: "Worker", *words: bytes) -> None:
        posix.write(self.command_fd, kind + bytes((worker.slot, 0, 0)) + b"".join(words))

    def stopped(self, worker: "Worker") -> None:
        said = worker.said()
        worker.look(time.monotonic())
        if worker.state == "dying" or not said:  # nothing: the zygote is gone, and says so
            return
        found = worker.answers()
        if said != b"d" or not worker.has_stopped() or not worker.canary_lives(found):
            self.distrust(worker)
            return
        taken, unwanted = worker.take(found), worker.unwanted
        self.learn(found)
        worker.forget()
        worker.rest()
        if worker.runs >= RUNS_MAX:
            self.end(worker, b"")
        self.assign()  # so that it works while we tell
        self.tell(taken, found, unwanted)

    def learn(self, found: "list[tuple[bytes, bytes]]") -> None:
        """How long runs take these days."""
        if found:
            mean_s = sum([number(row, 16) for _, row in found]) / len(found) / 1e9
            self.usual_run_s += SMOOTHING * (max(mean_s, TRIVIAL_S) - self.usual_run_s)

    def distrust(self, worker: "Worker") -> None:
        """Something is odd: nothing that it has and we have not taken counts."""
        worker.trusted = False
        self.end(worker, UNSURE)

    def take(self, worker: "Worker") -> None:
        """Pass on what it has finished."""
        found = worker.answers()
        taken = worker.take(found)
        if worker.trusted:
            self.tell(taken, found, worker.unwanted)
        else:
            for request in taken:
                self.send(done(request.run_id, UNSURE))

    def tell(
        self, taken: "list[Request]", found: "list[tuple[bytes, bytes]]", unwanted: set[int]
    ) -> None:
        for request, (answer, row) in zip(taken, found):  # noqa: B905 (the canary may follow)
            self.send(result_of(request, answer, row, unwanted=request.run_id in unwanted))

    def ended(self, worker: "Worker", status: int) -> None:
        """It is gone: find out what that means for its batch, and have another."""
        worker.look(time.monotonic())
        how = worker.killed_as or UNSURE
        if status == COPY_BROKEN:
            worker.trusted = False
        self.take(worker)
        rest = worker.batch[worker.taken :]
        if rest and worker.begun > worker.finished:
            self.send(worker.end_of(rest.pop(0), how, status))
        if worker.trusted:
            self.put_back(rest, worker.unwanted)
        else:
            for request in rest:
                self.send(done(request.run_id, UNSURE))
        # A program may choose the same code; whoever had one has been set up.
        failed = status == SETUP_FAILED and worker.runs == 0
        self.failed_forks = self.failed_forks + 1 if failed else 0
        worker.clear()
        if self.failed_forks < FAILED_FORKS_MAX:
            self.fork(worker)
        else:
            self.give_up("workers cannot lock themselves in")

    def give_up(self, why: str) -> None:
        """This mode does not work here. Said once: several workers may find it out together."""
        if self.gave_up:
            return
        self.gave_up = True
        for fd in (self.report_fd, *self.by_fd):
            self.poll.unregister(fd)
        self.send(b"V" + why.encode())
        for worker in self.workers:
            self.queue.extend(worker.batch[worker.taken :])
            worker.forget()
            worker.state = "none"
        while self.queue:
            self.send(done(self.queue.popleft().run_id, UNSURE))

    # Time.

    def next_tick_s(self) -> float:
        """When somebody must look again."""
        busy = any(worker.state == "busy" for worker in self.workers)
        return time.monotonic() + TICK_S if busy else NEVER_S

    def tick(self) -> None:
        """Look how far the workers are, watch runs that take long, give out what waits."""
        self.watch()
        self.assign()

    def watch(self) -> None:
        for worker in self.workers:
            if worker.state != "busy":
                continue
            now_s = time.monotonic()
            worker.look(now_s)
            quiet_s = now_s - worker.moved_s
            if worker.begun == worker.finished:
                if quiet_s > (STRAY_S if worker.stops else STUCK_S):
                    self.distrust(worker)
            elif worker.watched_run != worker.begun:
                if quiet_s > NOTICED_S:
                    self.notice(worker, now_s)
            else:
                self.enforce(worker, now_s)

    def notice(self, worker: "Worker", now_s: float) -> None:
        """Its run takes long: let others have the rest of the batch, and watch it."""
        self.put_back(worker.cut_short(now_s), worker.unwanted)
        self.take(worker)
        elapsed_s = worker.watch(now_s)
        if elapsed_s is not None:
            run_id = worker.batch[worker.begun - 1].run_id
            if run_id in worker.unwanted:
                self.end(worker, b"X")
                return
            elapsed_us = int(elapsed_s * 1e6)
            self.send(b"N" + run_id.to_bytes(4, "little") + elapsed_us.to_bytes(8, "little"))

    def enforce(self, worker: "Worker", now_s: float) -> None:
        if now_s >= worker.wall_end_s:
            self.end(worker, b"W")
        elif now_s >= worker.cpu_check_s:
            left_s = worker.cpu_left_s()
            if left_s > 0:
                worker.cpu_check_s = now_s + max(left_s, TICK_S)
                return
            worker.cpu_check_s = NEVER_S
            if self.settings.own_clock:
                self.end(worker, b"C")
            else:  # the host knows what was really spent, so it decides
                self.send(b"O" + worker.batch[worker.begun - 1].run_id.to_bytes(4, "little"))
