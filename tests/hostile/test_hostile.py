"""Every program of the corpus ends as it must, and no other run notices."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.hostile import excess, forgery, reach
from tests.hostile.corpus import LIMITS, POISON, Hostile
from zeroloop.core.execution import Isolation, Program, Result
from zeroloop.core.tasks import RunStatus

CORPUS = [*reach.PROGRAMS, *excess.PROGRAMS, *forgery.PROGRAMS]

PROBE = f"""
import collections, math, os, random, sys
def f(words):
    order = sorted(words)
    numbers = [len(word) for word in order]
    return (
        order,
        math.sqrt(16.0),
        collections.Counter('abca')['a'],
        min(numbers),
        sum(numbers),
        os.environ.get({POISON!r}),
        os.getcwd(),
        sys.getrecursionlimit(),
        random.Random(7).randrange(1000),
    )
"""
PROBE_INPUT = "['pear', 'fig', 'apple']"
PROBE_VALUE = "(['apple', 'fig', 'pear'], 4.0, 2, 3, 12, None, '/', 1000, 331)"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    settings = ExecutionSettings(
        sandboxes=1,
        workers=2,
        runsc=os.environ.get("ZEROLOOP_TEST_RUNSC") or None,  # another one, such as Debian's
        scratch_dir=tmp_path_factory.mktemp("sandboxes"),
    )
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        assert backend.capabilities.isolation is Isolation.GVISOR
        yield backend


async def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CORPUS) >= 90
    assert len({program.name for program in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("program", CORPUS, ids=lambda program: program.name)
async def test_hostile_program_hurts_itself_alone(backend: Backend, program: Hostile) -> None:
    sandboxes = set(backend.pool.fleet.working)
    neighbour = asyncio.create_task(probe(backend.pool))

    [result] = await run(backend.pool, program)

    assert any(ending.allows(result) for ending in program.endings), result
    if program.determinism is not None:
        assert result.determinism is program.determinism, result
    assert len(result.stdout) <= program.limits.stdout_bytes
    assert await neighbour == PROBE_VALUE
    assert await probe(backend.pool) == PROBE_VALUE
    assert set(backend.pool.fleet.working) == sandboxes, "it cost us a sandbox"


async def run(pool: Pool, program: Hostile) -> list[Result]:
    job = Program(
        program.source,
        (program.input_text,),
        check_determinism=program.determinism is not None,
    )
    return [result async for result in pool.execute([job], program.limits)]


async def probe(pool: Pool) -> str:
    [result] = [result async for result in pool.execute([Program(PROBE, (PROBE_INPUT,))], LIMITS)]
    assert result.status is RunStatus.OK, result
    return result.value
