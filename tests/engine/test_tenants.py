"""Programs of different tenants never meet: neither in a worker nor in the cache."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.execution.backend import cache_folder, open_backend
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.singly import singly
from zeroloop.core.execution import Limits, Mode, Program, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHERE = "import os\ndef f(x): return os.getpid()\n"
"""The number of a worker's process; another one follows under another number."""

SLOWLY = "import os, time\ndef f(x): time.sleep(0.005); return os.getpid()\n"
LIMITS = Limits(cpu_time_s=5.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    folder = tmp_path_factory.mktemp("sandboxes")
    settings = ExecutionSettings(sandboxes=1, workers=2, scratch_dir=folder)
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        yield backend.pool


async def run(pool: Pool, tenant: str, runs: int, source: str = WHERE) -> list[Result]:
    program = Program(source, tuple(map(str, range(min(runs, 20)))))
    results = pool.execute([program] * max(1, runs // 20), LIMITS, "reset", tenant)
    return [result async for result in singly(results)]


def workers_of(results: list[Result]) -> set[str]:
    assert {result.mode for result in results} == {Mode.RESET}
    return {result.value for result in results}


async def test_in_turns_they_share_no_worker(pool: Pool) -> None:
    ones, others = set[str](), set[str]()
    for _ in range(4):
        ones |= workers_of(await run(pool, "one", 20))
        others |= workers_of(await run(pool, "another", 20))

    assert ones
    assert others
    assert not ones & others


async def test_one_tenant_keeps_its_workers(pool: Pool) -> None:
    found = [workers_of(await run(pool, "one", 60)) for _ in range(4)]

    assert len(set[str]().union(*found[1:])) <= 2


async def test_more_tenants_than_workers_all_get_their_results(pool: Pool) -> None:
    tenants = [f"tenant {number}" for number in range(5)]

    found = await asyncio.gather(*(run(pool, tenant, 80) for tenant in tenants))

    assert [len(results) for results in found] == [80] * 5
    workers = [workers_of(results) for results in found]
    assert len(set[str]().union(*workers)) == sum(map(len, workers))


async def test_nobody_waits_for_a_flood_of_another(pool: Pool) -> None:
    flood = asyncio.create_task(run(pool, "one", 1200, SLOWLY))
    await asyncio.sleep(0.5)

    for tenant in ("another", "a third"):
        await run(pool, tenant, 1)

    assert not flood.done()
    assert len(await flood) == 1200


async def test_what_is_known_of_one_is_run_anew_for_another(pool: Pool) -> None:
    program = Program("def f(): return 'known'\n", check_determinism=True)

    async def cached(tenant: str) -> bool:
        running = pool.execute([program], LIMITS, tenant=tenant)
        [result] = [result async for result in singly(running)]
        return result.cached

    tenants = ["one", "one", "another", "", "one", ""]
    assert [await cached(t) for t in tenants] == [False, True, False, False, True, True]
