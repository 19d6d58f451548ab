"""The command line against a platform behind the real wire, and runs in folders."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sdk.fake_platform import TOKEN, FakePlatform
from tests.unit.sdk.recorded_run import RecordedRun, recorded_run
from zeroloop.cli.app import run
from zeroloop.cli.folders import RunFolder

Answer = tuple[int, str, str]


@pytest.fixture(scope="module")
def platform() -> Iterator[FakePlatform]:
    with FakePlatform(recorded_run(rounds=3)) as platform:
        yield platform


@pytest.fixture
def zeroloop(
    platform: FakePlatform, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Runs a command line; returns exit code, output and errors."""
    monkeypatch.setenv("ZEROLOOP_TOKEN", TOKEN)
    monkeypatch.delenv("ZEROLOOP_ADDRESS", raising=False)

    def call(*arguments: str, remote: bool = True, **environ: str) -> Answer:
        where = ["--address", platform.address] if remote else []
        code = run([*arguments, *where], environ=environ)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., RunFolder]:
    """Writes a run's folder as the controller does, without its database."""

    def make(recorded: RecordedRun, name: str = "demo") -> RunFolder:
        path = tmp_path / "runs" / name
        (path / "telemetry").mkdir(parents=True)
        document = {"request_id": "r", **asdict(recorded.run), "name": name}
        (path / "run.json").write_text(json.dumps(document, default=_plain))
        lines = [json.dumps(asdict(event), default=_plain) for event in recorded.events]
        (path / "events.jsonl").write_text("\n".join(lines) + '\n{"at": "cut off')
        return RunFolder(path)

    return make


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
