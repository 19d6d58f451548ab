"""Mode `reset` for real: what it leaves to `strict`, what it shares, what it never does."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.frames import NOBODY
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.singly import singly
from zeroloop.core.execution import Determinism, Limits, Mode, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import InvalidRequestError

pytestmark = pytest.mark.asyncio(loop_scope="module")

SORT = "def f(a, k=3): return sorted(a)[:k]\n"
LOOP = "def f(*a):\n    while True: pass\n"
DEPTH = "def f(n=0):\n    try: return f(n + 1)\n    except RecursionError: return n\n"
QUICK = Limits(cpu_time_s=0.4, wall_time_s=1.5)

TRACELESS = [
    "import builtins\nbuiltins.len = lambda x: 7\ndef f(): return len([])",
    "import sys\nsys.modules.clear()\ndef f(): return 1",
    "import math\nmath.sqrt = None\ndef f(): return 2",
    "kept = []\ndef f():\n    for i in range(200_000): kept.append([i])\n    return len(kept)",
    "def f(): return {i: str(i) for i in range(5_000)}",
    "def f(): return len('x' * 30_000_000)",
    "import gc\ndef f(): gc.disable(); gc.freeze(); return gc.get_count() and 3",
    "import os\nos.environ['ZEROLOOP'] = '1'\ndef f(): return os.environ['ZEROLOOP']",
    "import decimal\ndecimal.getcontext().prec = 3\ndef f(): return str(decimal.Decimal(1) / 3)",
    "def f(): return f()",
    "def f(): return [open('/dev/null') for _ in range(64)]",
    "import collections\nclass C(collections.Counter): pass\ndef f(): return C('aa')",
    "def f(): print('x' * 100_000); return [0] * 100_000",
    "import sys\nsys.setrecursionlimit(70)\ndef f(): return 1",
    "import resource\ndef f(): return 1",
]
"""They run in `reset`, and leave as much behind as they can."""

PROBE = """
import collections, decimal, gc, math, os, sys
def f():
    frozen = gc.get_freeze_count() > 0
    digits = decimal.getcontext().prec
    found = len([]), math.sqrt(4), collections.Counter('aab')['a'], gc.isenabled(), frozen
    return *found, 'ZEROLOOP' in os.environ, digits, sys.getrecursionlimit(), sorted('ba')
"""
PROBE_VALUE = "(0, 2.0, 2, True, True, False, 28, 1000, ['a', 'b'])"

LEFT_TO_STRICT = {
    "import os\ndef f(): os._exit(0)": RunStatus.CRASH,
    "def f(): return len(bytearray(8 << 30))": RunStatus.OOM,
    "import os\ndef f(): return os.dup2(1, 9)": RunStatus.OK,
    "import signal\ndef f(): return signal.signal(2, signal.SIG_IGN) and 1": RunStatus.OK,
    "import os\ndef f(): return os.umask(0)": RunStatus.OK,
    "import os\ndef f(): os.write(4, b'd'); return 5": RunStatus.ERROR,
    "import _thread\ndef f(): _thread.start_new_thread(f, ())": RunStatus.ERROR,
    "import time\ndef f(): time.sleep(0.01); import os; os.abort()": RunStatus.CRASH,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    settings = ExecutionSettings(
        sandboxes=1, workers=2, cache_mib=0, scratch_dir=tmp_path_factory.mktemp("sandboxes")
    )
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        yield backend


@pytest.fixture
def pool(backend: Backend) -> Pool:
    return backend.pool


async def run(
    pool: Pool, programs: Iterable[Program], limits: Limits = QUICK, mode: str = ""
) -> list[Result]:
    return [result async for result in singly(pool.execute(list(programs), limits, mode))]


async def test_it_is_what_is_offered_first(backend: Backend) -> None:
    [result] = await run(backend.pool, [Program(SORT, ("[3, 1, 2]",))])

    assert backend.capabilities.modes == (Mode.RESET, Mode.STRICT)
    assert (result.value, result.mode) == ("[1, 2, 3]", Mode.RESET)


async def test_whoever_asks_for_strict_gets_it(pool: Pool) -> None:
    [result] = await run(pool, [Program(SORT, ("[3, 1, 2]",))], mode="strict")

    assert (result.value, result.mode) == ("[1, 2, 3]", Mode.STRICT)


async def test_a_mode_that_does_not_exist_is_named_with_those_that_do(pool: Pool) -> None:
    with pytest.raises(InvalidRequestError, match="mode: offered here are reset, strict, got 'so'"):
        await run(pool, [Program(SORT)], mode="so")


async def test_nothing_of_a_program_is_there_for_the_next(pool: Pool) -> None:
    chosen = random.Random(3)
    programs: list[Program] = []
    for number in range(32):
        programs.append(Program(chosen.choice(TRACELESS), program_id=f"program {number}"))
        programs.append(Program(PROBE, program_id=f"probe {number}"))

    results = [result for _ in range(6) for result in await run(pool, programs)]

    probes = [result for result in results if result.program_id.startswith("probe")]
    assert Counter(probe.value for probe in probes) == {PROBE_VALUE: 192}
    assert Counter(result.mode for result in results)[Mode.RESET] > 300


async def test_both_modes_find_the_same(pool: Pool) -> None:
    programs = [Program(source) for source in (*TRACELESS, *LEFT_TO_STRICT, DEPTH)]

    found = [
        {r.program_id: (r.status, r.value, r.type_name, r.message, r.stdout) for r in results}
        for results in (await run(pool, programs), await run(pool, programs, mode="strict"))
    ]

    assert found[0] == found[1]


async def test_what_is_odd_is_run_again_in_strict(pool: Pool) -> None:
    results = await run(pool, [Program(s, program_id=s[-60:]) for s in LEFT_TO_STRICT])

    assert {r.mode for r in results} == {Mode.STRICT}
    assert {r.program_id: r.status for r in results} == {
        source[-60:]: status for source, status in LEFT_TO_STRICT.items()
    }


async def test_whoever_ends_as_a_worker_would_costs_no_sandbox(pool: Pool) -> None:
    source = "import os\ndef f(code): os._exit(code)"
    sandboxes = set(pool.fleet.working)

    results = await run(pool, [Program(source, ("97", "98", "99", *["96"] * 12))])

    assert {(r.status, r.mode) for r in results} == {(RunStatus.CRASH, Mode.STRICT)}
    assert set(pool.fleet.working) == sandboxes


async def test_an_odd_run_takes_nobody_with_it(pool: Pool) -> None:
    sources = [*LEFT_TO_STRICT, *[SORT] * 40]
    programs = [Program(s, ("[2, 1]",) if s is SORT else ("",)) for s in sources]

    results = await run(pool, programs)

    assert Counter(r.value for r in results)["[1, 2]"] == 40


async def test_a_loop_does_not_hold_up_its_batch(pool: Pool) -> None:
    fresh = LOOP + "# not seen before\n"
    programs = [Program(fresh if n == 3 else SORT, ("[2, 1]",)) for n in range(40)]
    running = pool.execute(programs, Limits(cpu_time_s=1.0))
    order = [result.status async for result in singly(running)]

    assert Counter(order) == {RunStatus.OK: 39, RunStatus.TIMEOUT: 1}
    assert order[-1] is RunStatus.TIMEOUT


async def test_a_program_that_timed_out_is_a_matter_for_strict(pool: Pool) -> None:
    source = LOOP + "# once\n"

    [first] = await run(pool, [Program(source)])
    [second] = await run(pool, [Program(source)])

    # On a busy machine the first one is tried again in strict.
    assert first.status is second.status is RunStatus.TIMEOUT
    assert second.mode is Mode.STRICT


async def test_limits_that_differ_get_workers_that_differ(pool: Pool) -> None:
    source = "def f(mib): return len(bytearray(mib << 20)) >> 20"
    small, large = (Limits(cpu_time_s=5.0, memory_mib=mib) for mib in (96, 250))

    for limits, mib, status in (
        (small, 60, RunStatus.OK),
        (small, 110, RunStatus.OOM),
        (large, 180, RunStatus.OK),
        (small, 110, RunStatus.OOM),
    ):
        [result] = await run(pool, [Program(source, (str(mib),))], limits)
        assert result.status is status, (limits, mib, result)


async def test_pairs_are_run_by_two_interpreters(pool: Pool) -> None:
    programs = [
        Program("def f(): return sorted({'a', 'b'})", check_determinism=True, program_id="same"),
        Program("def f(): return list(set('abcdef'))", check_determinism=True, program_id="hash"),
        Program("def f(): return id(f)", check_determinism=True, program_id="address"),
        Program("import os\ndef f(): return os.getpid()", check_determinism=True, program_id="pid"),
    ]

    results = await run(pool, programs)

    assert {r.program_id: (r.determinism, r.mode) for r in results} == {
        "same": (Determinism.YES, Mode.RESET),
        "hash": (Determinism.NO, Mode.RESET),
        "address": (Determinism.NO, Mode.RESET),
        "pid": (Determinism.NO, Mode.RESET),
    }


async def test_what_is_known_is_not_run_again(tmp_path: Path) -> None:
    settings = ExecutionSettings(sandboxes=1, workers=1, scratch_dir=tmp_path / "sandboxes")
    program = Program("def f(): return 2 ** 9", check_determinism=True)
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        found = [
            (result.value, result.mode, result.cached)
            for mode in ("", "", "strict", "strict")
            for result in await run(backend.pool, [program], mode=mode)
        ]

        backend.pool._odd.distrusted.add(NOBODY)
        [doubted] = await run(backend.pool, [program])

    # Who asks for strict is not given what was found in reset, nor is anybody once it is doubted.
    assert (doubted.mode, doubted.cached) == (Mode.STRICT, False)
    assert found == [
        ("512", Mode.RESET, False),
        ("512", Mode.RESET, True),
        ("512", Mode.STRICT, False),
        ("512", Mode.STRICT, False),
    ]


async def test_a_program_that_tells_the_modes_apart_ends_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller's programs decide nothing about another's."""
    agreed = Counter[str]()
    counter = SimpleNamespace(add=lambda amount, labels: agreed.update({labels["agrees"]: amount}))
    monkeypatch.setattr("services.execution.odd.checked", counter)
    settings = ExecutionSettings(sandboxes=1, workers=1, scratch_dir=tmp_path / "sandboxes")
    source = "import sys\ndef f(n): return n + len(sys.modules)"
    program = Program(source, tuple(map(str, range(40))), check_determinism=True)
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        odd = backend.pool._odd
        odd.sampler.random = lambda: 0.0
        results = await run(backend.pool, [program])
        async with asyncio.timeout(60):
            while agreed.total() < 40:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.1)
        [other] = await run(backend.pool, [Program(SORT, ("[2, 1]",))])

    assert {(r.determinism, r.mode) for r in results} == {(Determinism.YES, Mode.RESET)}
    assert agreed["by_mode"] == agreed.total() == 40
    assert odd.distrusted == set()
    assert other.mode is Mode.RESET


async def test_a_cancelled_call_leaves_the_workers_to_others(pool: Pool) -> None:
    programs = [Program(LOOP + f"# {number}", ("",)) for number in range(20)]
    call = asyncio.create_task(run(pool, programs, Limits(cpu_time_s=30)))
    await asyncio.sleep(0.5)
    call.cancel()

    async with asyncio.timeout(5):
        [result] = await run(pool, [Program(SORT, ("[2, 1]",))])

    assert result.value == "[1, 2]"
    assert pool.pending == 0


async def test_a_lost_sandbox_loses_no_run(pool: Pool) -> None:
    source = "import time\ndef f(a): time.sleep(0.01); return a"
    programs = [Program(source, (str(number),)) for number in range(64)]
    call = asyncio.create_task(run(pool, programs))
    await asyncio.sleep(0.3)
    os.kill(next(iter(pool.fleet.working)).pid, signal.SIGKILL)

    results = await call

    assert sorted(int(r.value) for r in results) == list(range(64))
