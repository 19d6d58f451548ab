"""`zeroloop play` as a user runs it: a process, signals, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.sdk.fake_platform import TOKEN

ROOT = Path(__file__).parents[2]
STOP_S_MAX = 5.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose controller is the fake one."""
    services = tmp_path / "checkout" / "services"
    (services / "controller").mkdir(parents=True)
    (services / "_server").symlink_to(ROOT / "services" / "_server")
    (services / "__init__.py").touch()
    main = "from tests.services.fake_controller import main\n\nmain()\n"
    (services / "controller" / "__main__.py").write_text(main)
    return services.parent


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, checkout: Path, model: Path) -> Start:
    token = tmp_path / "state" / "zeroloop" / "token"
    token.parent.mkdir(parents=True)
    token.write_text(TOKEN)
    token.chmod(0o600)

    def begin(*arguments: str, mode: str = "play") -> "subprocess.Popen[str]":
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PYTHONPATH": str(ROOT),
            "ZEROLOOP_CHECKOUT": str(checkout),
            "FAKE_MODE": mode,
            "FAKE_PIDS": str(tmp_path / "pids"),
        }
        command = [sys.executable, "-m", "zeroloop.cli", "play", *arguments]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def pids(tmp_path: Path) -> list[int]:
    return [int(word) for word in (tmp_path / "pids").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def wait_until_followed(tmp_path: Path) -> None:
    """Wait for the controller's log in the run's folder, and a moment for the first event."""
    wait_until(lambda: any((tmp_path / "runs").glob("*/logs/controller*.log")))
    time.sleep(1.0)


def test_a_run_is_shown_line_by_line_and_leaves_no_process(start: Start, tmp_path: Path) -> None:
    process = start("--model", "tiny", "--rounds", "3", "--name", "first", "--set", "rollouts=4")
    told, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    assert "zeroloop play: Absolute Zero self-play (" in told
    assert "settings   3 rounds, seed 0, preset paper; set here: rollouts 4" in told
    assert "departs    from the paper in rollouts 4 (8)" in told
    assert "services   buffer 0.8 s · execution 0.4 s · inference 17 s" in told
    assert "held-out   deduction 20.0 %" in told
    assert "round 3/3  94 % valid" in told
    assert not any(is_running(pid) for pid in pids(tmp_path))
    assert (tmp_path / "pids.created").read_text() == "first"
    # The fake keeps no database, so there is no report; that is said and is no failure.
    assert "warning: no report" in errors
    assert [path.name for path in (tmp_path / "runs").glob(".*")] == []


def test_a_run_without_a_name_is_named_after_its_model(start: Start, tmp_path: Path) -> None:
    start("--model", "tiny", "--rounds", "1").communicate(timeout=60)

    assert (tmp_path / "pids.created").read_text().startswith("tiny-")


@pytest.mark.parametrize("mode", ["hang", "deaf"])
def test_ctrl_c_stops_everything_within_seconds_and_says_how_to_go_on(
    start: Start, tmp_path: Path, mode: str
) -> None:
    process = start("--model", "tiny", "--name", "first", mode=mode)
    wait_until_followed(tmp_path)

    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)

    assert time.monotonic() - began_s < STOP_S_MAX
    assert process.returncode == 130
    assert "stopped in round 1, estimate" in told
    assert "zeroloop play --resume runs/first" in told
    assert not any(is_running(pid) for pid in pids(tmp_path))


def test_a_second_ctrl_c_waits_for_nobody(start: Start, tmp_path: Path) -> None:
    process = start("--model", "tiny", mode="deaf")
    wait_until_followed(tmp_path)

    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert time.monotonic() - began_s < 2.5
    assert process.returncode == 130
    assert not any(is_running(pid) for pid in pids(tmp_path))


def test_a_controller_that_dies_is_quoted(start: Start, tmp_path: Path) -> None:
    process = start("--model", "tiny", mode="die")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "the controller ended with exit code 9" in errors
    assert "the last words" in errors
    assert not any(is_running(pid) for pid in pids(tmp_path))


def test_a_controller_that_does_not_start_is_quoted(start: Start, tmp_path: Path) -> None:
    process = start("--model", "tiny", mode="refuse")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "controller ended with exit code 1 before it listened" in errors
    assert "port 1 is in use" in errors
    assert not (tmp_path / "runs").exists()


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--model", "nowhere"], "model 'nowhere' is no folder of a", id="model"),
        pytest.param(["--model", "tiny", "--set", "rolouts=3"], "did you mean rollouts?", id="set"),
        pytest.param(["--preset", "papr"], "preset must be one of paper", id="preset"),
        pytest.param(["--rounds", "0"], "rounds must be at least 1", id="rounds"),
        pytest.param(["--settings", "none.toml"], "none.toml cannot be read", id="file"),
        pytest.param(["--model", "tiny", "--heldout", "x"], "held-out tasks 'x'", id="heldout"),
        pytest.param(["--resume", "runs/x", "--seed", "3"], "--seed cannot be given", id="resume"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(
    start: Start, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    process = start(*arguments)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 64
    assert complaint in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_without_a_checkout_the_way_to_one_is_said(start: Start, checkout: Path) -> None:
    (checkout / "services" / "_server").unlink()
    process = start("--model", "tiny")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 64
    assert "run from a checkout of the repository" in errors


def test_a_finished_run_resumed_plays_as_many_rounds_again(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "demo"
    folder.mkdir(parents=True)
    document = {
        "name": "demo",
        "created_at": "2026-05-04T00:00:00+00:00",
        "spec": {"model": "tiny", "rounds": 3},
        "status": {"phase": "completed", "round": 3},
    }
    (folder / "run.json").write_text(json.dumps(document))

    told, _ = start("--resume", "demo").communicate(timeout=60)
    process = start("--resume", "demo", "--rounds", "2")
    _, errors = process.communicate(timeout=60)

    assert "run        demo, resumed, to round 6" in told
    assert process.returncode == 1
    assert "has come to round 3" in errors
