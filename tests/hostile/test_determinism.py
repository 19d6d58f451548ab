"""Two interpreters find out every program that depends on chance, and no other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.execution.backend import Backend
from tests.hostile import labelled
from tests.singly import singly
from zeroloop.core.execution import PROGRAMS_MAX, Determinism, Limits, Program, Result
from zeroloop.core.tasks import RunStatus

LIMITS = Limits(cpu_time_s=5.0, memory_mib=256)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_labelled_set_is_large_and_names_nothing_twice() -> None:
    bodies = [*labelled.NONDETERMINISTIC, *labelled.DETERMINISTIC]

    assert len(set(bodies)) == len(bodies) >= 100
    assert min(len(labelled.NONDETERMINISTIC), len(labelled.DETERMINISTIC)) >= 50


async def test_whatever_depends_on_chance_is_flagged(
    backend: Backend, mode: Mapping[str, Any]
) -> None:
    results = await paired(backend, mode, labelled.NONDETERMINISTIC)

    assert missed(results, Determinism.NO) == {}


async def test_nothing_else_is_flagged(backend: Backend, mode: Mapping[str, Any]) -> None:
    results = await paired(backend, mode, labelled.DETERMINISTIC)

    assert missed(results, Determinism.YES) == {}
    for body in [*labelled.PLAIN, *labelled.CHANCE_UNUSED]:
        assert results[body].status is RunStatus.OK, results[body]


async def test_a_clock_that_does_not_show_is_no_difference(
    backend: Backend, mode: Mapping[str, Any]
) -> None:
    results = await paired(backend, mode, labelled.CLOCK_UNUSED)

    assert missed(results, Determinism.YES) == {}
    assert {result.status for result in results.values()} == {RunStatus.OK}


async def paired(
    backend: Backend, mode: Mapping[str, Any], bodies: Sequence[str]
) -> dict[str, Result]:
    """What became of each body, run in two interpreters."""
    results: dict[str, Result] = {}
    for start in range(0, len(bodies), PROGRAMS_MAX):
        programs = [
            Program(f"def f():\n    {body}\n", program_id=str(number), check_determinism=True)
            for number, body in enumerate(bodies[start : start + PROGRAMS_MAX], start)
        ]
        async for result in singly(backend.pool.execute(programs, LIMITS, **mode)):
            results[bodies[int(result.program_id)]] = result
    assert set(results) == set(bodies)
    broken = {RunStatus.TIMEOUT, RunStatus.GARBLED, RunStatus.NOT_EXECUTED}
    assert not [result for result in results.values() if result.status in broken]
    return results


def missed(results: Mapping[str, Result], due: Determinism) -> dict[str, Result]:
    """Those whose verdict is another one."""
    return {body: result for body, result in results.items() if result.determinism is not due}
