"""An old gVisor, and the platform that works anywhere: both modes, the same results and limits."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from os import environ
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.execution import backend as opening
from services.execution.backend import Backend, built_runsc, cache_folder, open_backend
from services.execution.settings import ExecutionSettings
from tests.engine.test_reset import LEFT_TO_STRICT, TRACELESS, run
from tests.hostile import labelled, probe
from tests.singly import of_pool
from zeroloop.core.execution import Determinism, Limits, Mode, Program, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEBIANS = Path("/usr/bin/runsc")
CACHE = cache_folder(None, environ)
OURS = built_runsc(CACHE)

WAYS = {"Debian's": (DEBIANS, "auto"), "ours on ptrace": (OURS, "ptrace")}
LOOP = Program("def f():\n    while True: pass", program_id="loop")
NAP = Program("import time\ndef f(): time.sleep(99)", program_id="nap")
LARGE = Program("def f(): return len(bytearray(8 << 30))", program_id="too large")
FITS = Program("def f(): return len(bytearray(100 << 20))", program_id="large")
ROOMY = Limits(cpu_time_s=5.0, wall_time_s=30.0, memory_mib=256)
"""However busy the machine is: the limit that is meant bites first."""


def opened(scratch: Path, **settings: Any) -> AbstractAsyncContextManager[Backend]:
    defaults: dict[str, Any] = {"sandboxes": 1, "cache_mib": 0, "scratch_dir": scratch}
    return open_backend(ExecutionSettings(**(defaults | settings)), CACHE)


@pytest.fixture(scope="module", params=WAYS)
def binary(request: pytest.FixtureRequest) -> Path:
    path, _ = WAYS[request.param]
    if not path.exists():
        pytest.skip(f"there is no {path}: `apt-get install runsc`")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    platform = dict(WAYS.values())[binary]
    scratch = tmp_path_factory.mktemp("sandboxes")
    async with opened(scratch, mode="reset", runsc=binary, platform=platform) as backend:
        yield backend


def version_of(binary: Path) -> str:
    done = subprocess.run([binary, "--version"], capture_output=True, check=True, text=True)
    return done.stdout.split()[2]


def facts(result: Result) -> tuple[object, ...]:
    return result.status, result.value, result.type_name, result.message, result.stdout


async def test_it_says_which_one_and_what_platform(backend: Backend, binary: Path) -> None:
    capabilities = backend.capabilities

    assert (capabilities.platform, capabilities.runtime_version) == ("ptrace", version_of(binary))
    assert capabilities.modes == (Mode.RESET, Mode.STRICT)


async def test_both_modes_find_the_same(backend: Backend) -> None:
    bodies = [f"def f():\n    {body}\n" for body in labelled.PLAIN]
    programs = [Program(source) for source in (*bodies, *TRACELESS[:8], *LEFT_TO_STRICT)]

    reset = await run(backend.pool, programs, mode="reset", limits=ROOMY)
    strict = await run(backend.pool, programs, mode="strict", limits=ROOMY)

    assert {r.program_id: facts(r) for r in reset} == {r.program_id: facts(r) for r in strict}
    kept = [result for result in reset if int(result.program_id) < len(labelled.PLAIN)]
    assert sum(result.mode == Mode.RESET for result in kept) >= len(kept) - 2


@pytest.mark.parametrize("mode", Mode)
async def test_limits_bite_and_leave_nothing_behind(backend: Backend, mode: Mode) -> None:
    ways = [
        ([LOOP], replace(ROOMY, cpu_time_s=0.3)),
        ([NAP], replace(ROOMY, wall_time_s=0.6, cpu_time_s=0.6)),
        ([LARGE, FITS], ROOMY),
    ]
    runs = [await run(backend.pool, programs, limits, mode) for programs, limits in ways]

    assert {r.program_id: (r.status.value, r.detail) for results in runs for r in results} == {
        "loop": ("timeout", "cpu"),
        "nap": ("timeout", "wall"),
        "too large": ("oom", ""),
        "large": ("ok", ""),
    }
    await probe.check(partial(of_pool(backend.pool), mode=mode))


@pytest.mark.parametrize("mode", Mode)
async def test_chance_and_the_clock_are_seen(backend: Backend, mode: Mode) -> None:
    bodies = [*labelled.COARSE_CLOCK[:3], labelled.HASH[0], *labelled.CLOCK_UNUSED[:3]]
    sources = [f"def f():\n    {body}\n" for body in bodies]
    programs = [Program(source, check_determinism=True) for source in sources]

    results = await run(backend.pool, programs, ROOMY, mode)

    found = [r.determinism for r in sorted(results, key=lambda r: int(r.program_id))]
    assert found == [Determinism.NO] * 4 + [Determinism.YES] * 3


async def test_a_platform_that_hangs_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "runsc"
    hangs.write_text(
        '#!/bin/sh\ncase "$*" in *platform=systrap*) exec sleep 60;; esac\n'
        f'exec {OURS if OURS.exists() else shutil.which("runsc")} "$@"\n'
    )
    hangs.chmod(0o755)
    monkeypatch.setattr(opening, "PLATFORM_READY_S", 5.0)

    async with opened(tmp_path / "scratch", mode="strict", runsc=hangs) as backend:
        [result] = await run(backend.pool, [Program("def f(): return 1")], mode="strict")

        assert (backend.capabilities.platform, result.value) == ("ptrace", "1")
