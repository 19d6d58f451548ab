"""How a service process ends when it cannot go on."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SERVICE = """
import asyncio
from contextlib import asynccontextmanager
from services._server import ServiceSettings, run_service
from zeroloop.errors import ConfigError, UnavailableError

@asynccontextmanager
async def application(settings, server, health):
    async def fail():
        await asyncio.sleep(0.2)
        raise {error}

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await health.serving("zeroloop.test.v1.Test")
        yield

raise SystemExit(run_service("test", ServiceSettings, application))
"""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("UnavailableError('the engine is lost')", 1, "zeroloop test: the engine is lost\n"),
        ("ValueError('a bug')", 1, "ValueError: a bug"),
    ],
)
def test_it_says_why_and_does_not_crash(
    error: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    script = tmp_path / "service.py"
    script.write_text(textwrap.dedent(SERVICE).format(error=error))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(root), "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert words in done.stderr
    assert ("Traceback" in done.stderr) is ("bug" in words)
