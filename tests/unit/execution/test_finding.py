"""What is missing is said, with the command that mends it; what is left over is removed."""

import fcntl
import os
import sys
import time
from pathlib import Path

import pytest

from services.execution.backend import built_runsc, cache_folder
from services.execution.isolation import image, interpreter
from services.execution.isolation.image import ensure_image
from services.execution.isolation.interpreter import Interpreter, probe
from services.execution.isolation.runsc import Runsc, find_runsc, run_command, write_bundle
from services.execution.meter import Sample, spent_s
from services.execution.scratch import scratch_folder
from zeroloop.errors import ConfigError


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "built"


def test_without_any_runsc_the_remedy_is_named(nowhere: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no isolation.*tools/gvisor/install.*--isolation=unsafe"
    ):
        find_runsc(None, nowhere)


def test_the_built_one_is_preferred_to_that_on_the_path(nowhere: Path) -> None:
    (nowhere.parent / "bin").mkdir()
    script(nowhere.parent / "bin" / "runsc", "echo runsc version theirs")
    assert find_runsc(None, nowhere).version == "theirs"

    script(nowhere, "echo runsc version ours")
    assert find_runsc(None, nowhere).version == "ours"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("exit 1", "does not run", id="fails"),
        pytest.param("echo hello", "is not runsc", id="something else"),
    ],
)
def test_a_configured_runsc_must_be_one(nowhere: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        find_runsc(script(nowhere, text), nowhere)


def test_flags_follow_what_the_runsc_knows(tmp_path: Path) -> None:
    new = Runsc(Path("/runsc"), "new", isolates_gofers=True)
    old = Runsc(Path("/runsc"), "old", isolates_gofers=False)
    where = {"platform": "ptrace", "state": tmp_path, "bundle": tmp_path, "name": "x"}

    assert "--gofer-network-namespace=new" in run_command(new, **where)
    assert "--gofer-network-namespace=new" not in run_command(old, **where)
    assert {"--network=none", "--ignore-cgroups", "--platform=ptrace"} <= set(
        run_command(old, **where)
    )


def test_the_bundle_gives_nothing_away(tmp_path: Path) -> None:
    import json

    python = Interpreter(Path("/python"), Path("/lib"), (3, 11, 0), "x86_64", "build")
    write_bundle(tmp_path, image.Image(tmp_path, "sha256:0", python), arguments=["-B"], seed=7)
    config = json.loads((tmp_path / "config.json").read_text())

    assert config["root"]["readonly"] is True
    assert config["process"]["noNewPrivileges"] is True
    assert config["process"]["env"] == ["PATH=/usr/bin", "PYTHONHASHSEED=7", "LC_ALL=C.UTF-8"]
    assert set(config["process"]["capabilities"]["bounding"]) == {
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
    }
    assert all("ro" in mount["options"] for mount in config["mounts"])
    assert {"pid", "network", "ipc", "uts", "mount"} == {
        namespace["type"] for namespace in config["linux"]["namespaces"]
    }


def test_the_interpreter_behind_a_virtual_environment_is_found() -> None:
    found = probe(Path(sys.executable))

    assert found.version == sys.version_info[:3]
    assert (found.stdlib / "os.py").exists()
    assert not found.executable.is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param("exit 3", "does not run", id="fails"),
        pytest.param("echo nonsense", "does not run", id="talks nonsense"),
        pytest.param(
            """echo '["/p", "/l", [3, 10, 1], "CPython", "x86_64", "b"]'""",
            "3.11 or newer",
            id="old",
        ),
        pytest.param(
            """echo '["/p", "/l", [3, 11, 1], "PyPy", "x86_64", "b"]'""",
            "is PyPy",
            id="another one",
        ),
    ],
)
def test_an_interpreter_that_cannot_serve_is_refused(
    tmp_path: Path, answer: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        probe(script(tmp_path / "python", answer))


def test_without_a_compiler_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = probe(Path(sys.executable))
    monkeypatch.setattr(image.shutil, "which", lambda _: None)
    monkeypatch.setattr(image, "_ZIG", [sys.executable, "-c", "raise SystemExit(1)"])

    with pytest.raises(ConfigError, match=r"no C compiler.*apt-get install gcc"):
        ensure_image(found, tmp_path)

    assert list((tmp_path / "sandbox").iterdir()) == [], "half an image was left"


def test_a_full_disk_leaves_no_half_an_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image, "_copy_extensions", full)

    with pytest.raises(ConfigError, match="No space left on device"):
        ensure_image(probe(Path(sys.executable)), tmp_path)

    assert list((tmp_path / "sandbox").iterdir()) == []


def test_images_that_nobody_uses_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, age_days in (("old", 31), ("young", 29)):
        digest = tmp_path / "sandbox" / name / "digest"
        digest.parent.mkdir(parents=True)
        digest.write_text("sha256:0")
        then_s = time.time() - age_days * 24 * 3600
        os.utime(digest, (then_s, then_s))

    made = ensure_image(probe(Path(sys.executable)), tmp_path)

    assert set((tmp_path / "sandbox").iterdir()) == {made.root.parent, tmp_path / "sandbox/young"}
    assert ensure_image(made.interpreter, tmp_path) == made


def test_libraries_that_are_missing_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a, b = tmp_path / "a.so", tmp_path / "b.so"
    (tmp_path / "bin").mkdir()
    script(
        tmp_path / "bin" / "ldd",
        f"echo '{a}:'; echo '\tlinux-vdso.so.1 (0x0001)'; "
        "echo '\tlibc.so.6 => /lib/libc.so.6 (0x00af)'; echo '\t/lib64/ld.so (0x0b)'; "
        f"echo '{b}:'; echo '\tlibx.so => not found'; echo '\tlibc.so.6 => /lib/libc.so.6 (0x1)'",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert interpreter.shared_libraries([a, b]) == {
        a: [Path("/lib/libc.so.6"), Path("/lib64/ld.so")],
        b: None,
    }


def test_what_a_killed_service_left_is_removed_and_what_lives_is_not(tmp_path: Path) -> None:
    dead, alive, young = (tmp_path / name for name in ("dead", "alive", "young"))
    for folder in (dead, alive, young):
        (folder / "sandbox").mkdir(parents=True)
    (dead / "lock").touch()
    lock = os.open(alive / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with scratch_folder(tmp_path) as mine:
        assert set(tmp_path.iterdir()) == {alive, young, mine}

    assert set(tmp_path.iterdir()) == {alive, young}
    os.close(lock)


def test_the_cache_is_where_the_setting_or_the_environment_says() -> None:
    environ = {"ZEROLOOP_CACHE": "/there"}

    assert cache_folder(Path("/here"), environ) == Path("/here")
    assert cache_folder(None, environ) == Path("/there")
    assert cache_folder(None, {}) == Path.home() / ".cache" / "zeroloop"
    assert built_runsc(Path("/c")).parent == Path("/c/bin")


@pytest.mark.parametrize(
    ("after", "expected_s"),
    [
        pytest.param(Sample(1.0, {5: 2.0}), 0.0, id="nothing"),
        pytest.param(Sample(1.5, {5: 2.0}), 0.5, id="the kernel counts"),
        pytest.param(Sample(1.0, {5: 2.5, 6: 0.7}), 0.7, id="the busiest space counts"),
        pytest.param(Sample(1.2, {}), 0.2, id="spaces may end"),
        pytest.param(Sample(1.6, {5: 2.4, 6: 0.3, 7: 0.1}), 0.7, id="busy ones share the kernel"),
    ],
)
def test_what_a_run_can_have_spent(after: Sample, expected_s: float) -> None:
    assert spent_s(Sample(1.0, {5: 2.0}), after) == pytest.approx(expected_s)
