"""A finished run is read from its folder: the real buffer service, started for the command."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sdk.recorded_run import RecordedRun, recorded_run
from zeroloop.cli.app import run
from zeroloop.cli.children import running
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.client.token import ensure_token
from zeroloop.core.rounds import Stage, StageSummary
from zeroloop.core.stored_tasks import NewTask

ROOT = Path(__file__).parents[2]
ROUNDS = 2
Zeroloop = Callable[..., str]


@pytest.fixture(scope="module")
def recorded() -> RecordedRun:
    return recorded_run(rounds=ROUNDS)


@pytest.fixture
async def folder(recorded: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose database the real buffer has written."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ZEROLOOP_TOKEN", raising=False)
    path = tmp_path / "runs" / recorded.run.name
    path.mkdir(parents=True)
    document = {"request_id": "r", **asdict(recorded.run)}
    (path / "run.json").write_text(json.dumps(document, default=_plain))
    (path.parent / "latest").symlink_to(path.name)
    flags = ["--port", "0", "--database-url", f"sqlite:///{path / 'buffer.db'}"]
    token = ensure_token()
    async with (
        running("buffer", ROOT, flags, tmp_path / "buffer.log") as child,
        open_channel(child.address, token=token) as channel,
    ):
        await _fill(BufferClient(channel), recorded)
    return path


async def _fill(buffer: BufferClient, recorded: RecordedRun) -> None:
    for one in recorded.rounds:
        await buffer.rounds.open(recorded.run.name, one.round, weights_version=one.weights_version)
        for stage in Stage:
            if (one.round, stage) not in recorded.records:
                continue
            summary = one.stage(stage) or StageSummary(stage=stage)
            records = recorded.records[one.round, stage]
            await buffer.rounds.put_stage(
                recorded.run.name, one.round, replace(summary, records=0), records
            )
        mine = [task for task in recorded.tasks if task.lineage.round == one.round]
        new = [
            NewTask(
                task=replace(task.task, task_id=""),
                lineage=task.lineage,
                observation=task.observations[0] if task.observations else None,
            )
            for task in mine
        ]
        await buffer.rounds.commit(
            recorded.run.name, one.round, tasks=new, metrics=one.metrics, queue_batch=False
        )


@pytest.fixture
def zeroloop(folder: Path, capfd: pytest.CaptureFixture[str]) -> Zeroloop:
    """Runs a command line on the folder's runs; returns its output."""

    def call(*arguments: str) -> str:
        environ = {"ZEROLOOP_CHECKOUT": str(ROOT)}
        code = run([*arguments, "--runs-dir", str(folder.parent)], environ=environ)
        captured = capfd.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call


def test_a_folder_is_read_like_a_live_run(
    zeroloop: Zeroloop, recorded: RecordedRun, folder: Path
) -> None:
    summary = json.loads(zeroloop("summary", "--json"))
    rounds = json.loads(zeroloop("rounds", "demo", "--json"))
    exported = zeroloop("tasks", "export", "latest").splitlines()
    report = zeroloop("report", str(folder)).strip()

    assert summary["rounds"] == ROUNDS
    assert summary["tasks_admitted"]["total"] == 45 * ROUNDS
    assert summary["heldout"]["abduction"]["tasks"] == 60
    assert [one["round"] for one in rounds] == [0, 1, 2]
    assert len(exported) == len(recorded.tasks)
    assert Path(report) == folder.resolve() / "report.html"
    assert f"{ROUNDS} rounds of self-play" in Path(report).read_text()


def test_a_task_is_shown_by_the_name_that_the_buffer_gave_it(zeroloop: Zeroloop) -> None:
    (task,) = json.loads(zeroloop("tasks", "list", "--limit", "1", "--json"))

    assert task["task_id"] in zeroloop("tasks", "show", task["task_id"])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
