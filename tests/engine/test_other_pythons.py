"""Programs run in any CPython from 3.11 on: both modes agree in those that this machine has."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.execution.backend import Backend, cache_folder, open_backend
from services.execution.settings import ExecutionSettings
from tests.engine.test_reset import DEPTH, LEFT_TO_STRICT, PROBE, PROBE_VALUE, TRACELESS, run
from zeroloop.core.execution import Mode, Program, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCHED = {
    "Debian's 3.11": "/usr/bin/python3.11",
    "3.12": "python3.12",
    "3.13": "python3.13",
}
"""Where to look, or what for: on the PATH, then among pyenv's."""


def found(wanted: str) -> Path | None:
    """The first one that runs."""
    pyenv = Path.home() / ".pyenv" / "versions"
    places = [Path(shutil.which(wanted) or "/nowhere"), *sorted(pyenv.glob(f"*/bin/{wanted}"))]
    for place in filter(Path.exists, places):
        if subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode == 0:
            return place
    return None


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SEARCHED)
async def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Backend]:
    if (python := found(SEARCHED[request.param])) is None:
        pytest.skip(f"this machine has no CPython {request.param}")
    settings = ExecutionSettings(
        python=python,
        mode="reset",
        sandboxes=1,
        workers=2,
        cache_mib=0,
        scratch_dir=tmp_path_factory.mktemp("sandboxes"),
    )
    async with open_backend(settings, cache_folder(None, os.environ)) as backend:
        yield backend


def facts(result: Result) -> tuple[object, ...]:
    return result.status, result.value, result.type_name, result.message, result.stdout


async def test_both_modes_find_the_same(backend: Backend) -> None:
    programs = [Program(source) for source in (*TRACELESS, *LEFT_TO_STRICT, DEPTH)]

    reset = await run(backend.pool, programs, mode="reset")
    strict = await run(backend.pool, programs, mode="strict")

    assert {r.program_id: facts(r) for r in reset} == {r.program_id: facts(r) for r in strict}
    assert Counter(result.mode for result in reset)[Mode.RESET] >= len(TRACELESS) - 1


async def test_nothing_of_a_program_is_there_for_the_next(backend: Backend) -> None:
    programs = [Program(source) for made in TRACELESS for source in (made, PROBE)]

    results = [result for _ in range(3) for result in await run(backend.pool, programs)]

    probes = [result.value for result in results if int(result.program_id) % 2]
    assert Counter(probes) == {PROBE_VALUE: 3 * len(TRACELESS)}


async def test_what_depends_on_the_interpreter_is_seen(backend: Backend) -> None:
    sources = "def f(): return list(set('abcdef'))", "def f(): return sorted({'a', 'b'})"
    programs = [Program(source, check_determinism=True) for source in sources]

    results = await run(backend.pool, programs)

    assert {r.program_id: str(r.determinism) for r in results} == {"0": "no", "1": "yes"}
