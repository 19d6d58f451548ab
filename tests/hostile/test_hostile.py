"""Every program of the corpus ends as it must, and no other run notices."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from services.execution.backend import Backend
from tests.hostile import probe
from tests.hostile.all_programs import CORPUS
from tests.hostile.corpus import Hostile
from tests.singly import of_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CORPUS) >= 170
    assert len({program.name for program in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("program", CORPUS, ids=lambda program: program.name)
async def test_hostile_program_hurts_itself_alone(
    backend: Backend, mode: Mapping[str, Any], program: Hostile
) -> None:
    sandboxes = set(backend.pool.fleet.working)
    execute = partial(of_pool(backend.pool), **mode)
    neighbour = asyncio.create_task(probe.check(execute))

    [result] = [result async for result in execute([program.job()], program.limits)]

    assert program.allows(result), result
    await neighbour
    await probe.check(execute)
    assert set(backend.pool.fleet.working) == sandboxes, "it cost us a sandbox"
