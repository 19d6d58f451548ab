"""The real sandbox: gVisor, forked children, limits, loss and repair."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.pool import Pool
from services.execution.settings import ExecutionSettings
from tests.engine.busy import burning, loops_in
from tests.singly import singly
from zeroloop.core.execution import Determinism, Isolation, Limits, Program, Result
from zeroloop.core.tasks import RunStatus
from zeroloop.errors import ConfigError, InvalidRequestError, OverloadedError

ROOT = Path(__file__).resolve().parents[2]
QUICK = Limits(cpu_time_s=0.3, wall_time_s=1.0)
SORT = "def f(a, k=3):\n    return sorted(a)[:k]\n"
LOOP = Program("def f():\n    while True: pass\n")
NAP = "def f(s):\n    import time\n    time.sleep(s)\n    return s\n"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def opened(scratch: Path, **settings: Any) -> AbstractAsyncContextManager[Backend]:
    defaults = {"sandboxes": 1, "workers": 2, "scratch_dir": scratch}
    return open_backend(ExecutionSettings(**(defaults | settings)), cache_folder(None, os.environ))


@pytest.fixture(params=["strict", "reset"])
async def backend(scratch: Path, request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    async with opened(scratch, mode=request.param) as backend:
        yield backend


@pytest.fixture
def pool(backend: Backend) -> Pool:
    return backend.pool


async def results_of(pool: Pool, *programs: Program, limits: Limits | None = None) -> list[Result]:
    return [result async for result in singly(pool.execute(programs, limits or Limits()))]


async def until(holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.02)


def working(pool: Pool, sandboxes: int) -> bool:
    return len(pool.fleet.working) == sandboxes


def tree_cpu_s(root_pid: int) -> float:
    """Processor time of a process and all that come from it, the ended ones included."""
    fields = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                text = (entry / "stat").read_text()
                fields[int(entry.name)] = text[text.rindex(")") + 2 :].split()
    tree = {root_pid}
    while more := {pid for pid, f in fields.items() if int(f[1]) in tree} - tree:
        tree |= more
    ticks = sum(int(n) for pid in tree for n in fields[pid][11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


async def test_it_says_what_isolates_programs(backend: Backend) -> None:
    capabilities = backend.capabilities

    [result] = await results_of(
        backend.pool, Program("import sys\ndef f(): return sys.version_info[:3]")
    )

    assert capabilities.isolation is result.isolation is Isolation.GVISOR
    assert capabilities.platform in ("systrap", "ptrace")
    assert capabilities.runtime_version
    assert result.value == repr(tuple(map(int, capabilities.python_version.split("."))))
    assert result.image_digest == capabilities.image_digest
    assert capabilities.image_digest.startswith("sha256:")
    assert result.mode == capabilities.modes[0]


async def test_arguments_arrive_as_they_were_written(pool: Pool) -> None:
    echo = "def f(*args, **kwargs):\n    return args, kwargs\n"
    inputs = {
        "": "((), {})",
        "1, 1.0, True": "((1, 1.0, True), {})",
        "x=[1], y={'a': {2}}": "((), {'x': [1], 'y': {'a': {2}}})",
        "nan, -inf, range(3), b'\\x00', ...": "((nan, -inf, range(0, 3), b'\\x00', ...), {})",
        "'\\ud800', frozenset([1]), 1+2j": "(('\\ud800', frozenset({1}), complex(1.0, 2.0)), {})",
    }

    results = await results_of(pool, Program(echo, tuple(inputs)))

    assert {list(inputs)[r.input_index]: r.value for r in results} == inputs


async def test_nested_frozensets_beyond_the_parser_are_an_input_error(pool: Pool) -> None:
    deep = "frozenset((" * 99 + "1" + ",))" * 99

    [result] = await results_of(pool, Program("def f(x): return x", (deep,)))

    assert (result.status, result.detail) == (RunStatus.ERROR, "input")


async def test_each_run_starts_fresh(pool: Pool) -> None:
    counter = "seen = []\ndef f(x):\n    seen.append(x)\n    return seen\n"

    results = await results_of(pool, Program(counter, ("1", "2", "3")))

    assert sorted(result.value for result in results) == ["[1]", "[2]", "[3]"]


async def test_what_was_printed_and_used_is_reported(pool: Pool) -> None:
    source = (
        "def f():\n"
        "    print('a', 'é\\ud800')\n"
        "    x = bytearray(50 << 20)\n"
        "    return sum(range(10**6))\n"
    )

    [result] = await results_of(pool, Program(source))

    assert result.stdout == "a é".encode() + b"\xed\xa0\x80\n"
    assert not result.stdout_truncated
    assert result.peak_memory_bytes > 50 << 20
    assert 0 < result.cpu_time_s < 2
    assert 0 < result.wall_time_s < 5


async def test_output_and_value_limits_are_those_of_the_call(pool: Pool) -> None:
    limits = Limits(stdout_bytes=3, value_bytes=4)
    source = "def f(x):\n    print('abcdef')\n    return x\n"

    results = await results_of(pool, Program(source, ("1234", "12345")), limits=limits)

    by_input = {result.input_index: result for result in results}
    assert (by_input[0].status, by_input[0].value) == (RunStatus.OK, "1234")
    assert (by_input[0].stdout, by_input[0].stdout_truncated) == (b"abc", True)
    assert by_input[1].status is RunStatus.TOOLARGE
    assert by_input[1].value == ""


async def test_a_loop_is_killed_soon_after_its_limit(pool: Pool) -> None:
    [sandbox] = pool.fleet.working
    before_s = tree_cpu_s(sandbox.pid)

    [result] = await results_of(pool, LOOP, limits=Limits(cpu_time_s=0.6, wall_time_s=60.0))

    assert (result.status, result.detail) == (RunStatus.TIMEOUT, "cpu")
    # What the host has spent on it, whatever else the machine is doing.
    assert 0.45 <= tree_cpu_s(sandbox.pid) - before_s <= 0.8


async def test_sleep_is_killed_at_the_wall_limit(pool: Pool) -> None:
    limits = Limits(cpu_time_s=0.2, wall_time_s=0.6)

    [result] = await results_of(pool, Program(NAP, ("30",)), limits=limits)

    assert (result.status, result.detail) == (RunStatus.TIMEOUT, "wall")
    assert 0.6 <= result.wall_time_s <= 0.8


async def test_waiting_in_the_queue_is_no_time_out(pool: Pool) -> None:
    naps = Program(NAP, ("0.4",) * 12)

    results = await results_of(pool, naps, limits=Limits(cpu_time_s=0.3, wall_time_s=2.0))

    assert Counter(result.status for result in results) == {RunStatus.OK: 12}


@pytest.mark.timeout(180)
async def test_a_busy_machine_makes_no_time_outs(scratch: Path) -> None:
    """0.3 s of processor time under a limit of 1 s, eight others for each processor."""
    source = "def f(n):\n    x = 0\n    for i in range(n):\n        x += i * i\n    return x\n"
    loops = loops_in(0.3)
    with burning(8 * (os.cpu_count() or 1)):
        async with opened(scratch, workers=2) as backend:
            results = await results_of(
                backend.pool,
                Program(source, (str(loops),) * 8),
                limits=Limits(cpu_time_s=1.0, wall_time_s=60.0),
            )

    assert Counter(result.status for result in results) == {RunStatus.OK: 8}
    assert max(result.wall_time_s for result in results) > 1.0, "the machine was not busy"


async def test_pairs_tell_what_depends_on_chance(pool: Pool) -> None:
    programs = [
        Program("def f(): return sorted({'a', 'b'})", check_determinism=True, program_id="same"),
        Program("def f(): return list(set('abcdef'))", check_determinism=True, program_id="hash"),
        Program("def f(): return 1", program_id="not asked"),
        Program(LOOP.source, check_determinism=True, program_id="late"),
    ]

    results = await results_of(pool, *programs, limits=QUICK)

    assert {result.program_id: result.determinism for result in results} == {
        "same": Determinism.YES,
        "hash": Determinism.NO,
        "not asked": Determinism.UNKNOWN,
        "late": Determinism.UNKNOWN,
    }


async def test_unpaired_runs_all_have_the_same_hash_seed(scratch: Path) -> None:
    async with opened(scratch, sandboxes=2) as backend:
        source = Program("def f(_): return hash('abc')", tuple(map(str, range(24))))

        results = await results_of(backend.pool, source)

    assert len({result.value for result in results}) == 1


async def test_a_cancelled_call_ends_its_programs(pool: Pool) -> None:
    async def run_for_long() -> None:
        await results_of(pool, *[LOOP] * 4, limits=Limits(cpu_time_s=30))

    call = asyncio.create_task(run_for_long())
    await asyncio.sleep(0.3)
    call.cancel()
    started = time.monotonic()
    [result] = await results_of(pool, Program(SORT, ("[2, 1]",)))

    assert result.value == "[1, 2]"
    await until(lambda: pool.pending == 0, seconds=5)  # the last may end a little later
    assert time.monotonic() - started < 5


async def test_a_lost_sandbox_costs_time_and_no_results(scratch: Path) -> None:
    async with opened(scratch, sandboxes=2) as backend:
        call = asyncio.create_task(
            results_of(backend.pool, Program(NAP, ("0.3",) * 8), limits=Limits(wall_time_s=5.0))
        )
        await asyncio.sleep(0.2)
        os.kill(next(iter(backend.pool.fleet.working)).pid, signal.SIGKILL)

        results = await call

        assert Counter(result.status for result in results) == {RunStatus.OK: 8}
        assert backend.pool.fleet.replaced == 1


async def test_a_run_that_costs_two_sandboxes_is_not_executed(scratch: Path) -> None:
    async with opened(scratch, sandboxes=1) as backend:
        call = asyncio.create_task(
            results_of(backend.pool, Program(NAP, ("1.5",)), limits=Limits(wall_time_s=9.0))
        )
        for _ in range(2):
            await asyncio.sleep(0.5)
            await until(lambda: any(s.in_flight for s in backend.pool.fleet.working))
            os.kill(next(iter(backend.pool.fleet.working)).pid, signal.SIGKILL)

        [result] = await call

        assert result.status is RunStatus.NOT_EXECUTED
        assert result.determinism is Determinism.UNKNOWN
        [after] = await results_of(backend.pool, Program(SORT, ("[2, 1]",)))
        assert after.value == "[1, 2]"


async def test_sandboxes_are_replaced_after_their_share_of_runs(scratch: Path) -> None:
    async with opened(scratch, mode="strict", recycle_runs=40) as backend:
        results = await results_of(backend.pool, *[Program(SORT, ("[2, 1]",) * 50)] * 2)

        assert Counter(result.value for result in results) == {"[1, 2]": 100}
        assert backend.pool.fleet.replaced >= 1


async def test_preloaded_modules_are_there_and_see_the_same_environment(scratch: Path) -> None:
    source = (
        "import sys\n"
        "there = 'collections' in sys.modules, 'os' in sys.modules\n"
        "import os\n"
        "def f(): return there, sorted(os.environ)\n"
    )
    async with opened(scratch, preload=("collections", "os")) as backend:
        [result] = await results_of(backend.pool, Program(source, check_determinism=True))

    assert result.value == "((True, True), ['LC_ALL', 'PATH', 'PYTHONHASHSEED'])"
    assert result.determinism is Determinism.YES


async def test_a_module_that_cannot_be_preloaded_stops_the_service(scratch: Path) -> None:
    with pytest.raises(ConfigError, match="No module named 'nonsense'"):
        async with opened(scratch, preload=("nonsense",)):
            pass


async def test_a_full_queue_turns_callers_away(scratch: Path) -> None:
    async with opened(scratch, queue_runs_max=4) as backend:
        with pytest.raises(OverloadedError, match="at most 4 may") as caught:
            await results_of(backend.pool, Program(SORT, ("[1]",) * 5))

        assert caught.value.retry_after_s >= 1
        results = await results_of(backend.pool, Program(SORT, ("[1]",) * 4))
        assert [result.value for result in results] == ["[1]"] * 4


async def test_a_stream_gives_results_while_it_is_written(pool: Pool) -> None:
    answered = asyncio.Event()

    async def programs() -> AsyncIterator[tuple[Program, Limits, str]]:
        yield Program(SORT, ("[3, 1]",), "first"), Limits(), ""
        await answered.wait()
        yield Program(SORT, ("[4, 2]",), "second"), Limits(), ""

    seen: list[tuple[str, str]] = []
    async for result in singly(pool.stream(programs())):
        seen.append((result.program_id, result.value))
        answered.set()

    assert seen == [("first", "[1, 3]"), ("second", "[2, 4]")]


async def test_what_is_wrong_with_a_stream_is_told_to_a_slow_reader(pool: Pool) -> None:
    answered = asyncio.Event()

    async def programs() -> AsyncIterator[tuple[Program, Limits, str]]:
        yield Program(SORT, ("[3, 1]",), "twice"), Limits(), ""
        await answered.wait()
        yield Program(SORT, ("[4, 2]",), "twice"), Limits(), ""

    results = singly(pool.stream(programs()))
    assert (await anext(results)).value == "[1, 3]"
    answered.set()
    await asyncio.sleep(0.1)

    with pytest.raises(InvalidRequestError, match="twice"):
        await anext(results)


async def test_throughput(scratch: Path) -> None:
    """Printed for the reader; the floor only catches a broken zygote, on any machine."""
    programs = [Program(SORT, ("[5, 3, 1, 2, 9, 8, 7]",) * 4)] * 64
    for mode, sandboxes in ((mode, number) for mode in ("strict", "reset") for number in (1, 2)):
        async with opened(scratch, mode=mode, sandboxes=sandboxes) as backend:
            await until(partial(working, backend.pool, sandboxes))
            started_s = time.monotonic()
            results = await results_of(backend.pool, *programs)
            rate = len(results) / (time.monotonic() - started_s)
        print(f"\n{mode}: {rate:.0f} runs/s with {sandboxes} sandboxes of 2 workers")

        assert Counter(result.value for result in results) == {"[1, 2, 3]": 256}
        assert rate > 5


async def test_a_caller_that_leaves_at_once_reserves_nothing(pool: Pool) -> None:
    for wait_s in (0.0, 0.001, 0.05):
        call = asyncio.create_task(results_of(pool, *[Program(SORT, ("[1]",) * 64)] * 20))
        await asyncio.sleep(wait_s)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    await until(lambda: pool.pending == 0)
