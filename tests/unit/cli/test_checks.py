"""What doctor looks at, and what it says where something is missing."""

import stat
from pathlib import Path

import pytest

from zeroloop.cli import checks
from zeroloop.cli.app import run
from zeroloop.cli.checks import Check, Verdict
from zeroloop.cli.doctor import told
from zeroloop.cli.machine import Machine
from zeroloop.client.token import ensure_token, token_path


def fake_runsc(path: Path, answer: str = "runsc version 20260101.0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def test_an_old_python_is_missing_with_the_way_to_a_new_one() -> None:
    assert checks.python((3, 12, 1)).verdict is Verdict.OK
    old = checks.python((3, 10, 9))
    assert (old.verdict, old.found) == (Verdict.MISSING, "3.10.9")
    assert "make setup" in old.remedy


def test_missing_packages_are_named() -> None:
    check = checks.packages("imagined", ("json", "no_such_thing", "no_such.thing"))

    assert check.verdict is Verdict.MISSING
    assert check.found == "without no_such_thing, no_such.thing"
    assert check.remedy == "make setup"


def test_a_missing_library_is_named_with_the_package_that_brings_it() -> None:
    assert checks.libraries({"libc.so.6": "libc6"}).verdict is Verdict.OK

    check = checks.libraries({"libc.so.6": "libc6", "libnone.so.1": "libnone1"})
    assert (check.verdict, check.found) == (Verdict.MISSING, "without libnone.so.1")
    assert check.remedy == "apt-get install libnone1"


def test_runsc_is_the_named_one_then_the_built_one_then_the_installed_one(tmp_path: Path) -> None:
    installed = fake_runsc(tmp_path / "bin" / "runsc")
    environ = {"PATH": str(installed.parent), "ZEROLOOP_CACHE": str(tmp_path / "cache")}
    assert checks.find_runsc(environ) == installed

    built = fake_runsc(tmp_path / "cache" / "bin" / "runsc-0123")
    assert checks.find_runsc(environ) == built
    assert checks.sandbox(environ).found == f"20260101.0 ({built})"

    named = fake_runsc(tmp_path / "mine")
    assert checks.find_runsc(environ | {"ZEROLOOP_EXECUTION__RUNSC": str(named)}) == named


def test_no_runsc_is_missing_and_go_is_fetched(tmp_path: Path) -> None:
    environ = {"PATH": "", "ZEROLOOP_CACHE": str(tmp_path)}

    assert checks.sandbox(environ).verdict is Verdict.MISSING
    assert checks.sandbox(environ).remedy == "tools/gvisor/install"
    assert checks.go(environ).verdict is Verdict.WARNING


def test_a_runsc_that_does_not_start_is_missing(tmp_path: Path) -> None:
    broken = fake_runsc(tmp_path / "runsc")
    broken.write_text("#!/bin/sh\nexit 3\n")

    check = checks.sandbox({"ZEROLOOP_EXECUTION__RUNSC": str(broken)})

    assert check.verdict is Verdict.MISSING
    assert "exit status 3" in check.found


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert checks.model(tmp_path).verdict is Verdict.MISSING
    (tmp_path / "model.safetensors").write_bytes(b"0" * 7_500_000)
    assert checks.model(tmp_path).found == f"{tmp_path}, 7.5 MB"


@pytest.mark.parametrize(
    ("cores", "free_gib", "verdict"),
    [
        pytest.param(2, 20.0, Verdict.OK, id="enough"),
        pytest.param(1, 20.0, Verdict.WARNING, id="one core works slowly"),
        pytest.param(8, 1.0, Verdict.MISSING, id="no memory"),
    ],
)
def test_cores_and_memory(cores: int, free_gib: float, verdict: Verdict) -> None:
    assert checks.hardware(Machine(cores, 24.0, free_gib, ())).verdict is verdict


def test_a_token_that_others_can_read_is_removed(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert checks.token(environ).verdict is Verdict.OK
    ensure_token(token_path(environ))
    assert checks.token(environ).verdict is Verdict.OK
    token_path(environ).chmod(0o644)
    check = checks.token(environ)
    assert (check.verdict, check.remedy) == (Verdict.MISSING, f"rm {token_path(environ)}")
    assert stat.S_IMODE(token_path(environ).stat().st_mode) == 0o644


def test_a_missing_thing_comes_with_its_remedy_below() -> None:
    lines = told(Check("gVisor", Verdict.MISSING, "no runsc", "tools/gvisor/install")).splitlines()

    assert lines[0].startswith("MISSING  gVisor")
    assert lines[1].strip() == "tools/gvisor/install"


def test_doctor_fails_where_something_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"PATH": "", "ZEROLOOP_CACHE": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    assert run(["doctor", "--quiet"], environ) == 1

    printed = capsys.readouterr().out
    assert "gVisor" in printed
    assert "Python" not in printed
