"""Every reading command, against the real wire; what it prints can be read by programs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Answer
from tests.unit.sdk.fake_platform import FakePlatform
from tests.unit.sdk.recorded_run import IDLE_RATIO, PAUSED_S, recorded_run
from zeroloop.cli.app import COMMANDS
from zeroloop.cli.app import zeroloop as group
from zeroloop.cli.folders import RunFolder

Call = Callable[..., Answer]

READING = [
    pytest.param(["runs"], id="runs"),
    pytest.param(["rounds", "demo"], id="rounds"),
    pytest.param(["tasks", "list", "demo"], id="tasks list"),
    pytest.param(["tasks", "show", "ded-1-0", "demo"], id="tasks show"),
    pytest.param(["weights", "list", "demo"], id="weights list"),
    pytest.param(["summary", "demo"], id="summary"),
    pytest.param(["trace", "demo", "--round", "2"], id="trace"),
    pytest.param(["exec", "def f(x): return x[::-1]", "'abc'"], id="exec"),
    pytest.param(["generate", "hello", "--seed", "3"], id="generate"),
    pytest.param(["prune", "demo", "--keep-rounds", "2"], id="prune"),
]


@pytest.mark.parametrize("arguments", READING)
def test_every_reading_command_speaks_to_people_and_to_programs(
    zeroloop: Call, arguments: list[str]
) -> None:
    code, told, errors = zeroloop(*arguments)
    assert (code, errors) == (0, "")
    assert told.strip()

    code, printed, errors = zeroloop(*arguments, "--json")
    assert (code, errors) == (0, "")
    json.loads(printed)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_an_example(zeroloop: Call, name: str) -> None:
    code, printed, _ = zeroloop(name, "--help", remote=False)

    assert code == 0
    assert "Example" in printed
    assert f"zeroloop {name}" in printed


def test_the_help_shows_where_to_start(zeroloop: Call) -> None:
    code, printed, _ = zeroloop("--help", remote=False)

    assert code == 0
    assert "zeroloop doctor" in printed
    assert all(name in printed for name in group.list_commands(None))  # type: ignore[arg-type]


def test_the_newest_run_is_meant_when_none_is_named(zeroloop: Call) -> None:
    code, printed, _ = zeroloop("summary", "--json")

    assert code == 0
    assert json.loads(printed)["run"] == "demo"


def test_summary_prints_every_promised_figure(zeroloop: Call, platform: FakePlatform) -> None:
    _, printed, _ = zeroloop("summary", "demo", "--json")
    found = json.loads(printed)

    assert found["rounds"] == 3
    assert found["weights_version"] == 3
    invented = [task for task in platform.recorded.tasks if task.lineage.round]
    assert found["tasks_admitted"]["total"] == len(invented) == 3 * 45
    assert found["tasks_admitted"]["deduction"] == 45
    assert found["distinct_programs"] == len({task.program for task in invented})
    assert found["validity"] == pytest.approx(45 / 48)
    assert set(found["solver_accuracy"]) == {"abduction", "deduction", "induction", "total"}
    heldout = found["heldout"]["deduction"]
    assert heldout["tasks"] == 60
    assert heldout["difference"]["mean"] == pytest.approx(
        heldout["after"]["mean"] - heldout["before"]["mean"]
    )
    assert heldout["difference"]["low"] < heldout["difference"]["mean"]
    assert found["executions"] == {"ok": 90 * 17, "timeout": 2 * 17}
    assert found["tokens"] > 0
    assert found["seconds_per_stage"]["estimate"] == pytest.approx(3 * 14.1)
    assert found["seconds_per_stage"]["roll"] == pytest.approx(3 * PAUSED_S)
    assert found["idle_ratio"] == pytest.approx(IDLE_RATIO)


def test_summary_computes_what_the_rounds_do_not_carry(
    platform: FakePlatform, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.sdk.fake_platform import TOKEN
    from zeroloop.cli.app import run

    monkeypatch.setenv("ZEROLOOP_TOKEN", TOKEN)
    with FakePlatform(recorded_run(rounds=3, with_metrics=False)) as bare:
        assert run(["summary", "demo", "--json", "--address", bare.address], environ={}) == 0
    found = json.loads(capfd.readouterr().out)

    assert found["validity"] == pytest.approx(45 / 48)
    solved = [
        record.accuracy
        for (_, stage), records in bare.recorded.records.items()
        if stage == "solve"
        for record in records
    ]
    assert found["solver_accuracy"]["total"] == pytest.approx(sum(solved) / len(solved))
    assert 0 < found["learnable"] < 1


def test_tasks_are_filtered_and_exported_a_line_each(zeroloop: Call) -> None:
    code, printed, _ = zeroloop(
        "tasks", "export", "demo", "--kind", "induction", "--rate-min", "0.2", "--rate-max", "0.6"
    )
    tasks = [json.loads(line) for line in printed.splitlines()]

    assert code == 0
    assert tasks
    for task in tasks:
        assert task["kind"] == "induction"
        assert 0.2 <= task["success_rate"] <= 0.6
        assert {"program", "cases", "lineage", "observations", "message"} <= task.keys()


def test_a_report_of_a_run_elsewhere_is_written_here(zeroloop: Call, tmp_path: Path) -> None:
    path = tmp_path / "r.html"

    code, printed, _ = zeroloop("report", "demo", "--output", str(path))

    assert code == 0
    assert printed.strip() == str(path)
    assert "no training data" in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]


# ---- steering


def test_a_run_is_suspended_resumed_and_stopped(zeroloop: Call) -> None:
    assert "demo: suspended" in zeroloop("runs", "suspend", "demo")[1]
    assert "demo: playing" in zeroloop("runs", "resume", "demo", "--rounds", "9")[1]
    assert "demo: stopped" in zeroloop("runs", "stop", "demo")[1]


def test_weights_are_promoted_and_handed_over(zeroloop: Call) -> None:
    newest = zeroloop("weights", "promote", "demo")[1]
    assert newest == "weights v3 are kept\n"
    handed = zeroloop("weights", "promote", "demo", "--version", "2", "--to", "coder")[1]
    assert "InferenceService coder fetches pvc://runs/demo/2" in handed
    told = zeroloop("weights", "promote", "demo", "--version", "2", "--to", "coder", "--json")[1]
    assert json.loads(told) == {"version": 2, "storage_uri": "pvc://runs/demo/2"}


@pytest.mark.parametrize("command", [("runs", "stop"), ("weights", "promote")])
def test_steering_needs_an_address(zeroloop: Call, command: tuple[str, str]) -> None:
    code, _, errors = zeroloop(*command, "demo", remote=False)

    assert code == 64
    assert "--address" in errors


# ---- folders


def test_runs_on_this_machine_are_listed_without_any_service(
    zeroloop: Call, make_folder: Callable[..., RunFolder]
) -> None:
    folder = make_folder(recorded_run(rounds=3))
    runs_dir = str(folder.path.parent)

    code, told, _ = zeroloop("runs", "--runs-dir", runs_dir, remote=False)
    _, printed, _ = zeroloop("runs", "--runs-dir", runs_dir, "--json", remote=False)

    assert code == 0
    assert "demo" in told
    assert "3/3" in told
    assert json.loads(printed)[0]["spec"]["seed"] == 7


def test_a_damaged_run_is_named_and_the_others_are_listed(
    zeroloop: Call, make_folder: Callable[..., RunFolder]
) -> None:
    make_folder(recorded_run(rounds=1), "good")
    bad = make_folder(recorded_run(rounds=1), "bad")
    (bad.path / "run.json").write_text("{")

    code, told, errors = zeroloop("runs", "--runs-dir", str(bad.path.parent), remote=False)

    assert code == 0
    assert "good" in told
    assert "bad/run.json is damaged" in errors


def test_a_folder_keeps_what_happened_but_for_a_line_that_was_cut(
    make_folder: Callable[..., RunFolder],
) -> None:
    recorded = recorded_run(rounds=2)
    folder = make_folder(recorded)

    assert tuple(folder.events()) == recorded.events
    assert folder.load().spec == recorded.run.spec
    assert folder.load().status.phase == "completed"


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        pytest.param(["sumary"], 2, "did you mean summary?", id="unknown command"),
        pytest.param(["summary", "nobody"], 1, "no run 'nobody'; there are demo", id="run"),
        pytest.param(["trace", "--round", "99"], 1, "rounds 1 to 3 have one", id="round"),
        pytest.param(["tasks", "list", "--kind", "x"], 2, "'x' is not one of", id="kind"),
        pytest.param(["generate", "hello"], 64, "--address of a controller, or", id="model"),
    ],
)
def test_what_is_wrong_is_said_on_one_line_with_the_way_out(
    zeroloop: Call,
    make_folder: Callable[..., RunFolder],
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    folder = make_folder(recorded_run(rounds=3))
    spans = [
        {
            "name": "zeroloop.round",
            "trace_id": "a",
            "span_id": str(i),
            "start_ns": 0,
            "end_ns": 9,
            "attributes": {"zeroloop.round.index": i},
        }
        for i in (1, 2, 3)
    ]
    lines = "\n".join(json.dumps(span) for span in spans)
    (folder.telemetry / "spans-controller.jsonl").write_text(lines)
    (folder.path.parent / "latest").symlink_to("demo")
    place = ["--runs-dir", str(folder.path.parent)] if arguments[0] in ("summary", "trace") else []

    found, printed, errors = zeroloop(*arguments, *place, remote=False)

    assert found == code
    assert printed == ""
    assert complaint in errors


def test_a_wrong_token_is_one_line_and_not_a_traceback(
    zeroloop: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROLOOP_TOKEN", "wrong")

    code, printed, errors = zeroloop("runs")

    assert (code, printed) == (1, "")
    assert errors.startswith("zeroloop: the token is missing or wrong")


def test_nobody_listening_is_one_line(zeroloop: Call) -> None:
    code, _, errors = zeroloop("runs", "--address", "127.0.0.1:1", remote=False)

    assert code == 1
    assert errors.startswith("zeroloop: nothing answers at 127.0.0.1:1; start the service")


def test_a_place_that_cannot_be_written_is_named(zeroloop: Call) -> None:
    code, _, errors = zeroloop("report", "demo", "--output", "/proc/nowhere/report.html")

    assert code == 1
    assert errors.startswith("zeroloop: /proc/nowhere/.report.html")
    assert errors.endswith("No such file or directory\n")


def test_a_failing_program_fails_the_command(zeroloop: Call) -> None:
    code, printed, _ = zeroloop("exec", "def f(x): boom", "1")

    assert code == 1
    assert printed.startswith("error   ValueError: boom")
