"""How long a caller waits, and what gRPC adds to it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.execution.metered import MeteredRunner
from tests.bench.executing.callers import Caller
from tests.bench.executing.echo import EchoRunner
from tests.bench.executing.spreads import quantile, spread
from tests.bench.executing.targets import row
from tests.bench.report import Row
from tests.singly import of_pool
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Isolation

SINGLE_REQUESTS = 200
BATCHES = 100
"""The fewest that have a 99th percentile besides the largest."""

IDLE_S = 0.002
"""Between two requests, so that the service has come to rest."""


async def timed_ms(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """How long each of some calls took, one after the other; the first only warms up."""
    taken_ms: list[float] = []
    for _ in range(times + 1):
        began_s = time.perf_counter()
        await call()
        taken_ms.append(1000 * (time.perf_counter() - began_s))
        await asyncio.sleep(IDLE_S)
    return taken_ms[1:]


async def single_rows(mode: str, path: str, caller: Caller) -> list[Row]:
    """One program at a time on an idle service."""
    taken_ms = await timed_ms(caller.single, SINGLE_REQUESTS)
    return [
        row(f"{mode}: single request, {path}, p50", quantile(taken_ms, 0.5), "ms"),
        row(
            f"{mode}: single request, {path}, p99",
            quantile(taken_ms, 0.99),
            "ms",
            f"{mode} single p99",
        ),
    ]


async def batch_rows(mode: str, caller: Caller) -> list[Row]:
    """Batches of 64 trivial programs, one at a time."""
    taken_ms = await timed_ms(caller.trivial, BATCHES)
    return [
        row(f"{mode}: batch of 64, p50", quantile(taken_ms, 0.5), "ms"),
        row(f"{mode}: batch of 64, p99", quantile(taken_ms, 0.99), "ms", f"{mode} batch p99"),
    ]


async def grpc_row(client: ExecutionClient) -> Row:
    """What the wire adds to a batch, behind which a runner answers at once.

    Measured without sandboxes: their spread is many times the difference.
    """
    wire = Caller(client.execute, "strict")
    direct = Caller(of_pool(MeteredRunner(EchoRunner(), Isolation.UNSAFE)), "strict")
    added_ms: list[float] = []
    for _ in range(BATCHES):
        [through_ms] = await timed_ms(wire.trivial, 1)
        [without_ms] = await timed_ms(direct.trivial, 1)
        added_ms.append(through_ms - without_ms)
    return row(
        "gRPC beside the pipe path, batch of 64, added", spread(added_ms), "ms", "grpc added"
    )
