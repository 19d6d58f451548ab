"""First process of a sandbox: forks one child per run, watches it from outside, reports facts.

It is trusted, single-threaded and lean: being also the zygote, every page it has written is
copied for every child. So it imports next to nothing and never decides what a run was worth.

Mode `reset` is not its own business: it has workers for that (`workers.py`).

Frames are a 4-byte little-endian length and that many bytes. Incoming: `R` run in `strict`, `Q` run
in `reset`, `K` kill. Outgoing: `A` ready, `O` over its processor time, `D` done; of `reset` also
`W` ready, `V` not possible here, `N` takes long. The layouts are in `services/execution/frames.py`.
"""

# ruff: noqa: S102, S302, SLF001, TC004 (files here are run in one namespace, not imported)
# pyright: reportPrivateUsage=false

import builtins
import gc
import marshal
import posix
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would double the zygote
    from collections.abc import Callable
    from typing import Any, NoReturn

    from services.execution.guest.area import Order
    from services.execution.guest.wire import Frames, done, write_all
    from services.execution.guest.workers import Workers

    RunChild = Callable[["Request", int], NoReturn]

# By path, because nothing of the runner shall be importable by a program.
SCRIPT = sys.argv[0]
HERE = SCRIPT.rpartition("/")[0]
READ_BYTES = 1 << 16
ANSWER_OVERHEAD_BYTES = 8 << 10
STDIN, STDOUT = 0, 1
SIGKILL = 9
NEVER_S = float("inf")
TICK_S = 0.01
"""gVisor's processor clock advances in steps of 10 ms; looking more often shows nothing."""

PEER_AFTER_S = 0.05
"""The first results are not kept waiting by a second interpreter that gets ready beside them."""


class Settings:
    """What the host decided at start, from the command line."""

    def __init__(self, argv: list[str]) -> None:
        values = dict(word.split("=", 1) for word in argv)
        self.seed = int(values["seed"])
        self.peer_seed = values.get("peer_seed", "")
        self.uid = int(values["uid"])
        self.own_clock = values["own_clock"] == "1"
        self.preload = [name for name in values["preload"].split(",") if name]
        self.workers = int(values["workers"])
        """Of mode `reset`; none if it is not offered."""

        self.memory_bytes = int(values["memory_bytes"])
        """Limit under which workers are made in advance."""

        self.interpreter = 0 if self.peer_seed else 1
        self.words = argv


class Request:
    """One run, as the host asked for it."""

    order: "Order"
    """Its form for a worker of mode `reset`."""

    def __init__(self, frame: bytes) -> None:
        def number(start: int, size: int) -> int:
            return int.from_bytes(frame[start : start + size], "little")

        self.run_id = number(1, 4)
        self.seed = number(5, 4)
        self.slot = number(9, 2)
        self.cpu_s = number(11, 8) / 1e6
        self.wall_s = number(19, 8) / 1e6
        self.memory_bytes = number(27, 8)
        self.stdout_bytes = number(35, 4)
        self.value_bytes = number(39, 4)
        self.tenant = frame[43:59]
        end = 63 + number(59, 4)
        self.source = frame[63:end]
        self.arguments = frame[end:]


class Child:
    """One running program, seen from outside."""

    def __init__(self, request: Request, pid: int, fd: int, started_s: float) -> None:
        self.request = request
        self.pid = pid
        self.fd = fd
        self.clock = ((~pid) << 3) | 2  # clock_getcpuclockid(3)
        self.started_s = started_s
        self.cpu_check_s = self.started_s + request.cpu_s
        self.wall_end_s = self.started_s + request.wall_s
        self.bytes_max = request.stdout_bytes + request.value_bytes + ANSWER_OVERHEAD_BYTES
        self.chunks: list[bytes] = []
        self.bytes = 0
        self.killed_as = b""

    def kill(self, why: bytes) -> None:
        """End it, and remember why. Only SIGKILL: everything else can be ignored."""
        self.killed_as = self.killed_as or why
        posix.kill(self.pid, SIGKILL)

    def next_check_s(self) -> float:
        return min(self.cpu_check_s, self.wall_end_s)

    def read(self) -> bool:
        """Take what the child wrote. Returns False at the end of the stream."""
        data = posix.read(self.fd, READ_BYTES)
        self.bytes += len(data)
        if self.bytes > self.bytes_max:
            self.kill(b"G")
            return False
        if data:
            self.chunks.append(data)
        return bool(data)

    def cpu_used_s(self) -> float:
        try:
            return time.clock_gettime(self.clock)
        except OSError:  # it has just ended
            return 0.0

    def report(self) -> bytes:
        """Reap it and say how it ended."""
        posix.close(self.fd)
        # Its pipe is closed: it has ended, or it never will by itself.
        posix.kill(self.pid, SIGKILL)
        _, status, usage = posix.wait4(self.pid, 0)
        wall_s = time.monotonic() - self.started_s
        signal = status & 0x7F
        how = self.killed_as or (b"S" if signal else b"E")
        code = signal or status >> 8
        return done(
            self.request.run_id,
            how,
            code,
            cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6),
            wall_us=int(wall_s * 1e6),
            peak_bytes=usage.ru_maxrss * 1024,
            answer=b"".join(self.chunks),
        )


class Peer:
    """The second interpreter: same files, another hash seed, address layout and time."""

    def __init__(self, settings: Settings, given: "dict[bytes, bytes]", poll: select.poll) -> None:
        self.poll = poll
        self.frames = Frames()
        self.backlog = b""
        to_peer, self.write_fd = posix.pipe()
        self.read_fd, from_peer = posix.pipe()
        words = ["seed=" + settings.peer_seed]
        words += [w for w in settings.words if w.split("=")[0] not in ("seed", "peer_seed")]
        environment = given | {
            b"PYTHONHASHSEED": settings.peer_seed.encode(),
            b"LD_PRELOAD": HERE.encode() + b"/clock.so",
        }
        posix.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-s", "-S", "-B", SCRIPT, *words],
            environment,
            file_actions=[
                (posix.POSIX_SPAWN_DUP2, to_peer, STDIN),
                (posix.POSIX_SPAWN_DUP2, from_peer, STDOUT),
            ],
        )
        posix.close(to_peer)
        posix.close(from_peer)
        # Waiting until it takes an order could be for ever: it may itself be waiting until we
        # read its answers.
        posix.set_blocking(self.write_fd, False)
        poll.register(self.read_fd, select.POLLIN)

    def send(self, frame: bytes) -> None:
        if not self.backlog:
            self.poll.register(self.write_fd, select.POLLOUT)
        self.backlog += len(frame).to_bytes(4, "little") + frame

    def write(self) -> None:
        """It takes something now."""
        self.backlog = self.backlog[posix.write(self.write_fd, self.backlog) :]
        if not self.backlog:
            self.poll.unregister(self.write_fd)

    def read(self) -> list[bytes] | None:
        """The frames that it has sent; None if it is gone."""
        data = posix.read(self.read_fd, READ_BYTES)
        return self.frames.feed(data) if data else None


class Supervisor:
    """The loop. Waits for the host, its children and their deadlines; never for one alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.children: dict[int, Child] = {}
        self.host = Frames()
        self.outgoing: list[bytes] = []
        self.poll = select.poll()
        self.poll.register(STDIN, select.POLLIN)
        self.peer: Peer | None = None
        self.peer_due_s = NEVER_S
        self.environment = dict(posix.environ)  # before it is cleared
        self.workers: Workers | None = None
        if settings.workers:
            self.workers = self.start_workers()
        # While they get ready, so do we.
        child = load("child.py", {"__name__": "child", "__builtins__": dict(vars(builtins))})
        self.run_child: RunChild = child["prepare"](HERE, settings, load)

    def start_workers(self) -> "Workers":
        """Fork the zygote of mode `reset` and take its side of the pipes."""
        names: dict[str, Any] = {"__name__": "workers", "__builtins__": dict(vars(builtins))}
        for file in ("wire.py", "area.py", "worker.py", "workers.py"):
            load(file, names)

        def zygote(given: list[int]) -> None:
            for file in ("child.py", "zygote.py"):
                load(file, names)
            names["become_zygote"](HERE, load, given, self.settings.preload)

        return names["Workers"](self.settings, self.poll, self.send_of_workers, zygote)

    def send_of_workers(self, payload: bytes) -> None:
        if payload == b"W":
            self.ready()
        self.send(payload)

    def ready(self) -> None:
        """This interpreter takes work in all modes, so it is the other one's turn to get ready."""
        if self.settings.peer_seed and self.peer is None:
            self.peer_due_s = time.monotonic() + PEER_AFTER_S

    def the_peer(self) -> Peer:
        self.peer_due_s = NEVER_S
        if self.peer is None:
            self.peer = Peer(self.settings, self.environment, self.poll)
        return self.peer

    def send(self, payload: bytes) -> None:
        """Tell the host, at the end of this turn."""
        self.outgoing.append(len(payload).to_bytes(4, "little") + payload)

    def serve(self) -> None:
        self.send(b"A")
        if self.workers is None:
            self.ready()
        while True:
            if self.outgoing:
                data = b"".join(self.outgoing)
                self.outgoing.clear()
                write_all(STDOUT, data)
            for fd, _ in self.poll.poll(self.timeout_ms()):
                self.handle(fd)
            self.enforce()
            if self.workers is not None:
                self.workers.tick()

    def handle(self, fd: int) -> None:
        if fd == STDIN:
            self.read_host()
        elif self.peer is not None and fd == self.peer.read_fd:
            self.read_peer(self.peer)
        elif self.peer is not None and fd == self.peer.write_fd:
            self.peer.write()
        elif self.workers is not None and self.workers.handle(fd):
            pass
        elif not self.children[fd].read():
            self.finish(fd)

    def timeout_ms(self) -> int | None:
        checks_s = [child.next_check_s() for child in self.children.values()]
        soonest_s = min([self.peer_due_s, *checks_s])
        if self.workers is not None:
            soonest_s = min(soonest_s, self.workers.next_tick_s())
        if soonest_s == NEVER_S:
            return None
        return max(0, int((soonest_s - time.monotonic()) * 1000) + 1)

    def read_host(self) -> None:
        data = posix.read(STDIN, READ_BYTES)
        if not data:  # the service is gone, so is our reason to live
            self.leave()
        for frame in self.host.feed(data):
            if frame[:1] == b"K":
                self.kill(frame)
                continue
            request = Request(frame)
            if self.settings.peer_seed and request.seed != self.settings.seed:
                self.the_peer().send(frame)
            elif frame[:1] == b"Q" and self.workers is not None:
                self.workers.submit(request)
            else:
                self.start(request)

    def read_peer(self, peer: Peer) -> None:
        frames = peer.read()
        if frames is None:
            self.leave()
        for frame in frames or ():
            if frame not in (b"A", b"W"):  # work for it has waited here
                self.send(frame)

    def leave(self) -> None:
        for child in self.children.values():
            posix.kill(child.pid, SIGKILL)
        posix._exit(0)

    def kill(self, frame: bytes) -> None:
        run_id = int.from_bytes(frame[1:5], "little")
        ours = [child for child in self.children.values() if child.request.run_id == run_id]
        for child in ours:
            child.kill(frame[5:6])
        if ours or (self.workers is not None and self.workers.kill(run_id, frame[5:6])):
            return
        if self.peer is not None:
            self.peer.send(frame)

    def start(self, request: Request) -> None:
        started_s = time.monotonic()
        read_fd, write_fd = posix.pipe()
        try:
            pid = posix.fork()
        except OSError as error:
            posix.close(read_fd)
            posix.close(write_fd)
            self.send(b"F" + request.run_id.to_bytes(4, "little") + str(error).encode())
            return
        if pid == 0:
            # The child never returns.
            self.run_child(request, write_fd)
        posix.close(write_fd)
        self.children[read_fd] = Child(request, pid, read_fd, started_s)
        self.poll.register(read_fd, select.POLLIN)

    def finish(self, fd: int) -> None:
        self.poll.unregister(fd)
        self.send(self.children.pop(fd).report())

    def enforce(self) -> None:
        now_s = time.monotonic()
        if now_s >= self.peer_due_s:
            self.the_peer()
        for child in self.children.values():
            if now_s >= child.wall_end_s:
                child.wall_end_s = NEVER_S
                child.kill(b"W")
            elif now_s >= child.cpu_check_s:
                self.check_cpu(child, now_s)

    def check_cpu(self, child: Child, now_s: float) -> None:
        left_s = child.request.cpu_s - child.cpu_used_s()
        if left_s > 0:
            child.cpu_check_s = now_s + max(left_s, TICK_S)
            return
        child.cpu_check_s = NEVER_S
        if self.settings.own_clock:
            child.kill(b"C")
        else:
            # gVisor's clock runs on while the host keeps a runnable program waiting. The host
            # knows what was really spent, so it decides.
            self.send(b"O" + child.request.run_id.to_bytes(4, "little"))


def load(name: str, namespace: "dict[str, Any]") -> "dict[str, Any]":
    """Run one of our files with a private copy of the builtins: programs may patch theirs."""
    with open(HERE + "/" + name + "c", "rb") as file:
        exec(marshal.loads(file.read()[16:]), namespace)  # after its header; of our own image
    return namespace


if not TYPE_CHECKING:
    load("wire.py", globals())


def main() -> None:
    settings = Settings(sys.argv[1:])
    supervisor = Supervisor(settings)
    for name in settings.preload:  # after the environment has been cleared
        __import__(name)
    gc.collect()
    gc.freeze()
    gc.disable()
    supervisor.serve()


main()
