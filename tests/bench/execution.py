"""The Execution service beside a native fork server: `python -m tests.bench.execution`.

N is that server: resident, without isolation, batches of 64. All ways to run the trivial program
take turns within one run, and figures are multiples of N's in the same turn. Rows of the mode
`reset` appear where the service offers it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.execution.application import SERVICE
from services.execution.backend import Backend, built_runsc
from services.execution.isolation.interpreter import probe
from services.execution.isolation.runsc import find_runsc
from tests.bench.executing import hostility, latency, sandboxes, targets
from tests.bench.executing.baselines import Commands, ForkServer, bubblewrap, runsc_do
from tests.bench.executing.callers import Caller
from tests.bench.executing.picture import chart
from tests.bench.executing.ways import VISIT_S, Visit, Way, interleaved
from tests.bench.report import FOLDER, Row, machine, write
from tests.bench.starts import EXECUTION, Case, started
from tests.singly import of_pool
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.token import ensure_token
from zeroloop.core.execution import Capabilities

ROUNDS = 3
FALSE_TIMEOUT_RUNS = 200
"""The demand is about 1,000, which take five times as long: `--false-timeout-runs 1000`."""

WARM_PROGRAMS = 256
"""What a sandbox runs before it counts: a write barrier learns for 200 runs."""

ECHO = Case("echo", "tests.bench.executing.echo", lambda _, __: [], SERVICE)
BUBBLEWRAP = "bubblewrap, 1 caller"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """All that is open while the ways take turns."""

    one: Backend
    """One sandbox with one worker."""

    two: Backend
    """Two of those."""

    services: Sequence[ExecutionClient]
    """Two channels to the service as it comes."""

    echo: ExecutionClient
    native: ForkServer
    python: Path
    scratch: Path

    @property
    def capabilities(self) -> Capabilities:
        return self.one.capabilities


def baselines(measured: Measured) -> list[Way]:
    """Ways without this project."""
    plain = Commands(measured.python).once
    runsc = find_runsc(None, built_runsc(sandboxes.cache()))
    do = runsc_do(runsc, measured.capabilities.platform, measured.scratch)
    isolated = Commands(measured.python, *do).once
    ways = [
        Way(key=targets.NATIVE, name="N: native fork server", callers=[measured.native.batch]),
        Way(key="python", name="python -I -S -c, 1 caller", callers=[plain]),
        Way(key="python 2", name="python -I -S -c, 2 callers", callers=[plain] * 2),
        Way(key="runsc do", name="runsc do, 1 caller", callers=[isolated]),
        Way(key="runsc do 2", name="runsc do, 2 callers", callers=[isolated] * 2),
    ]
    if before := bubblewrap():
        boxed = Commands(measured.python, *before).once
        ways.append(Way(key="bubblewrap", name=BUBBLEWRAP, callers=[boxed]))
    return ways


def ours(measured: Measured, mode: str) -> list[Way]:
    """Ways through the service, from its pool and from its wire."""
    ways: list[Way] = []
    for count, backend in ((1, measured.one), (2, measured.two)):
        callers = [Caller(of_pool(backend.pool), mode).trivial for _ in range(count)]
        ways.append(
            Way(
                key=f"{mode} pipe {count}",
                name=f"{mode}, {count} sandbox{'es' if count > 1 else ''}",
                callers=callers,
                warm_programs=WARM_PROGRAMS * count,
                processor_s=partial(sandboxes.used_s, backend),
            )
        )
    for count in (1, 2):
        callers = [Caller(client.execute, mode).trivial for client in measured.services[:count]]
        name = f"{mode}, service, {count} caller{'s' if count > 1 else ''}"
        ways.append(
            Way(key=f"{mode} grpc {count}", name=name, callers=callers, warm_programs=WARM_PROGRAMS)
        )
    return ways


async def throughput_rows(measured: Measured, options: argparse.Namespace) -> list[Row]:
    """All ways in turns."""
    modes = measured.capabilities.modes
    ways = [*baselines(measured), *(way for mode in modes for way in ours(measured, mode))]
    visits = await interleaved(ways, rounds=options.rounds, visit_s=options.visit_s)
    names = {way.key: way.name for way in ways}
    rows = [*targets.rate_rows(names, visits), *targets.ratio_rows(names, visits)]
    if "bubblewrap" not in names:
        rows.append(targets.missing(BUBBLEWRAP, "there is no bwrap on this machine"))
    for mode in modes:
        rows += _derived_rows(mode, measured, visits)
    return rows


def _derived_rows(mode: str, measured: Measured, visits: dict[str, list[Visit]]) -> list[Row]:
    return [
        targets.scaling_row(mode, measured.capabilities.platform, visits),
        *targets.processor_rows(mode, visits),
    ]


async def single_mode_rows(mode: str, measured: Measured, options: argparse.Namespace) -> list[Row]:
    """What is measured of one mode alone, one thing after the other."""
    pipe = Caller(of_pool(measured.one.pool), mode)
    wire = Caller(measured.services[0].execute, mode)
    rows = [
        *await latency.single_rows(mode, "pipe", pipe),
        *await latency.single_rows(mode, "gRPC", wire),
    ]
    if mode != "strict":  # there a hundred batches would take minutes
        rows += await latency.batch_rows(mode, pipe)
    rows += await hostility.kill_rows(mode, pipe)
    rows.append(await hostility.loops_row(mode, wire))
    runs: int = options.false_timeout_runs
    rows.append(await hostility.false_timeout_row(mode, measured.scratch, runs))
    rows += await sandboxes.start_rows(mode, measured.capabilities.platform)
    if mode != "strict":
        elsewhere = max(pipe.elsewhere, wire.elsewhere)
        rows.append(targets.row(f"{mode}: runs answered by strict", elsewhere, "ratio"))
    return rows


async def measure(
    address: str, echo: str, token: str, scratch: Path, options: argparse.Namespace
) -> bool:
    """Measure everything and report; whether every demand is met."""
    python = probe(Path(sys.executable)).executable
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(open_channel(to, token=token))
            for to in (address, address, echo)
        ]
        first, second, plain = map(ExecutionClient, channels)
        measured = Measured(
            one=await stack.enter_async_context(sandboxes.opened(scratch, sandboxes=1, workers=1)),
            two=await stack.enter_async_context(sandboxes.opened(scratch, sandboxes=2, workers=1)),
            services=(first, second),
            echo=plain,
            native=await stack.enter_async_context(ForkServer.running(python)),
            python=python,
            scratch=scratch,
        )
        rows = await throughput_rows(measured, options)
        rows.append(sandboxes.memory_row(measured.one))
        rows.append(await latency.grpc_row(measured.echo))
        for mode in measured.capabilities.modes:
            rows += await single_mode_rows(mode, measured, options)
        return report(rows, measured.capabilities, rounds=options.rounds, load=options.load)


def report(rows: Sequence[Row], capabilities: Capabilities, *, rounds: int, load: float) -> bool:
    """Write table and picture; whether every demand is met.

    Args:
        load: Processes that wanted to run in the minute before, others' as well.
    """
    facts = {
        "runsc": capabilities.runtime_version,
        "platform": capabilities.platform,
        "sandbox python": capabilities.python_version,
        "modes": ", ".join(capabilities.modes),
        "load before": f"{load:.2f}",
    }
    notes = f"medians of {rounds} rounds, all ways in turns; N is a native fork server"
    # Rates first, then demands in their order, then the rest.
    ordered = sorted(rows, key=lambda row: (row.unit != "exec/s", int(row.number or 99)))
    met = write("execution", ordered, notes=notes, facts=facts)
    print(f"  {machine()} {facts}")
    picture = FOLDER / "execution.svg"
    heading = (
        f"Trivial programs per second as multiples of N, logarithmic ({capabilities.platform})"
    )
    picture.write_text(chart(ordered, heading=heading) + "\n")
    print(f"  picture  ->  {picture}")
    return met


def main(arguments: Sequence[str]) -> int:
    """Start what is measured, measure it; 1 if a demand is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.execution", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--visit-s", type=float, default=VISIT_S, help="of each way in a round")
    parser.add_argument("--false-timeout-runs", type=int, default=FALSE_TIMEOUT_RUNS)
    options = parser.parse_args(arguments)
    options.load = os.getloadavg()[0]
    # As in the service, or what its metrics cost would count as gRPC's.
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    with tempfile.TemporaryDirectory(prefix="zeroloop-bench-") as name:
        folder = Path(name)
        token = ensure_token(folder / "token")
        with started(EXECUTION, folder, "") as service, started(ECHO, folder, "") as echo:
            met = asyncio.run(
                measure(service.address, echo.address, token, folder / "sandboxes", options)
            )
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
