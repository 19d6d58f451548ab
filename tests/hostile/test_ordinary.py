"""Isolation changes no ordinary result: gVisor gives what the host's own kernel gives.

Ten thousand programs take minutes: `make agreement`.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio

from services.execution.backend import Backend
from tests.soak import ordinary
from tests.soak.agreement import results
from tests.soak.native import native
from zeroloop.core.execution import Program, Result

RUNS = {"reset": 1_000, "strict": 200}
SEED = 18

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.geteuid() != 0, reason="to see the same files natively takes root"),
]

WORK = ordinary.programs(max(RUNS.values()), SEED)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def due() -> AsyncIterator[Sequence[Result]]:
    """What becomes of each program without gVisor."""
    async with native() as (pool, _):
        yield await results(pool, "strict", WORK)


async def test_they_are_of_all_kinds(due: Sequence[Result]) -> None:
    ends = {result.status.value for result in due}

    assert ends >= {"ok", "error", "opaque", "oom", "crash"}
    assert len({result.value for result in due}) > len(WORK) // 3
    assert len({result.type_name for result in due}) > 20


async def test_the_host_and_gvisor_agree(
    backend: Backend, mode: Mapping[str, Any], due: Sequence[Result]
) -> None:
    runs = RUNS[mode["mode"]]

    found = await results(backend.pool, mode["mode"], WORK[:runs])

    assert ordinary.disagreements(WORK[:runs], due[:runs], found) == []


async def test_a_difference_would_be_seen(due: Sequence[Result]) -> None:
    swapped = [*due[1:], due[0]]

    assert len(ordinary.disagreements(WORK, due, swapped)) > len(WORK) // 2
    assert ordinary.disagreements([Program("")], due[:1], due[:1]) == []
