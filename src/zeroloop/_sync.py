"""The blocking face of the SDK: `zeroloop.aio`, waited for.

    with zeroloop.connect("localhost:7070") as z:
        run = z.runs.create(model="models/seedling", preset="seedling", rounds=30, seed=7)
        for event in run.watch():
            print(event.round, event.stage)

Every method raises errors of `zeroloop.Error` alone, and every method may be repeated.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from zeroloop import aio
from zeroloop._blocking import EventLoop, blocking, iterating, wrapping
from zeroloop._results import RunView
from zeroloop.core import runs as values


def connect(
    address: str, token: str | None = None, *, ca_file: str | Path | None = None
) -> "Client":
    """Connect to a controller; it names the other services. Nothing is sent yet.

    Args:
        address: gRPC target of the controller, for instance `localhost:7070`.
        token: Default: ZEROLOOP_TOKEN, the file that ZEROLOOP_TOKEN_FILE names, the local
            token file.
        ca_file: PEM of who signs the platform's certificates, which turns TLS on; "" turns it
            off. Default: ZEROLOOP_CA_FILE, see docs/how-to/tokens.md.

    Raises:
        AuthError: There is no token.
        ConfigError: `ca_file` is not a PEM file.
    """
    return Client(aio.connect(address, token, ca_file=ca_file))


def _run_of(loop: EventLoop, run: aio.Run) -> "Run":
    return Run(loop, run)


class Run(RunView):
    """A run as it stood at the last look, and what can be done with it."""

    def __init__(self, loop: EventLoop, asynchronous: aio.Run) -> None:
        self.loop = loop
        self.asynchronous = asynchronous

    @property
    def value(self) -> values.Run:
        """Everything that is known of the run."""
        return self.asynchronous.value

    watch = iterating(aio.Run.watch)
    events = blocking(aio.Run.events)

    refresh = wrapping(aio.Run.refresh, _run_of)
    wait = wrapping(aio.Run.wait, _run_of)
    suspend = wrapping(aio.Run.suspend, _run_of)
    resume = wrapping(aio.Run.resume, _run_of)
    stop = wrapping(aio.Run.stop, _run_of)


def _runs_of(loop: EventLoop, runs: list[aio.Run]) -> list[Run]:
    return [Run(loop, run) for run in runs]


class Runs:
    """Runs of self-play."""

    def __init__(self, loop: EventLoop, asynchronous: aio.Runs) -> None:
        self.loop = loop
        self.asynchronous = asynchronous

    create = wrapping(aio.Runs.create, Run)
    get = wrapping(aio.Runs.get, Run)
    list = wrapping(aio.Runs.list, _runs_of)
    suspend = wrapping(aio.Runs.suspend, Run)
    resume = wrapping(aio.Runs.resume, Run)
    stop = wrapping(aio.Runs.stop, Run)


class Tasks:
    """The verified tasks that the model has proposed."""

    def __init__(self, loop: EventLoop, asynchronous: aio.Tasks) -> None:
        self.loop = loop
        self.asynchronous = asynchronous

    get = blocking(aio.Tasks.get)
    list = blocking(aio.Tasks.list)


class Rounds:
    """Rounds of self-play, as they are stored."""

    def __init__(self, loop: EventLoop, asynchronous: aio.Rounds) -> None:
        self.loop = loop
        self.asynchronous = asynchronous

    get = blocking(aio.Rounds.get)
    list = blocking(aio.Rounds.list)
    records = iterating(aio.Rounds.records)
    prune = blocking(aio.Rounds.prune)


class WeightsVersions:
    """The versions of a run's weights."""

    def __init__(self, loop: EventLoop, asynchronous: aio.WeightsVersions) -> None:
        self.loop = loop
        self.asynchronous = asynchronous

    get = blocking(aio.WeightsVersions.get)
    list = blocking(aio.WeightsVersions.list)
    export = blocking(aio.WeightsVersions.export)
    promote = blocking(aio.WeightsVersions.promote)


class Client:
    """A connection to the platform. Use it in `with`, or close it."""

    def __init__(self, asynchronous: aio.Client) -> None:
        self.loop = EventLoop()
        self.asynchronous = asynchronous
        self.runs = Runs(self.loop, asynchronous.runs)
        self.tasks = Tasks(self.loop, asynchronous.tasks)
        self.rounds = Rounds(self.loop, asynchronous.rounds)
        self.weights = WeightsVersions(self.loop, asynchronous.weights)

    exec = blocking(aio.Client.exec)
    generate = blocking(aio.Client.generate)

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled. Safe to repeat."""
        if self.loop.closed:
            return
        self.loop.run(self.asynchronous.close())
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
