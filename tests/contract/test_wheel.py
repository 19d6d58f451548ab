"""The wheel, installed alone: three packages below it, light to import, nothing of ours but it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions", "zeroloop"}
"""What an installation of the base package may consist of; gRPC brings the fourth."""

IMPORT_S_MAX = 0.5
RUNS = 5
"""The fastest of so many imports counts: the machine may be busy with something else."""


def uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    project = ROOT / "tools" / "uv"
    if found is None and project.exists():
        found = str(project)
    if found is None:
        pytest.skip("uv is not installed")
    return found


def call(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=env, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(uv(), "build", "--wheel", "--out-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("alone") / "env"
    call(uv(), "venv", "--quiet", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    call(uv(), "pip", "install", "--quiet", "--python", python, str(wheel))
    return python


def run(python: str, code: str, cwd: Path) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    return call(python, "-c", code, env=environ, cwd=cwd)


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    tops = {name.split("/")[0] for name in names}
    assert tops == {"zeroloop", f"zeroloop-{wheel.name.split('-')[1]}.dist-info"}
    assert "zeroloop/py.typed" in names
    assert "zeroloop/cli/report/style.css" in names
    assert any(name.endswith("controller_pb2.pyi") for name in names)


def test_nothing_but_grpc_and_protobuf_is_installed(wheel: Path, python: str) -> None:
    listed = json.loads(call(uv(), "pip", "list", "--python", python, "--format", "json"))

    assert {package["name"] for package in listed} <= BELOW


def test_the_import_is_light(python: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import zeroloop; "
        "s = time.perf_counter() - t; "
        "heavy = [m for m in ('grpc', 'google.protobuf', 'asyncio') if m in sys.modules]; "
        "print(s); print(heavy)"
    )
    answers = [run(python, code, tmp_path).splitlines() for _ in range(RUNS)]

    assert {heavy for _, heavy in answers} == {"[]"}
    assert min(float(seconds) for seconds, _ in answers) < IMPORT_S_MAX


def test_the_sdk_works_alone(python: str, tmp_path: Path) -> None:
    code = (
        "import zeroloop\n"
        "z = zeroloop.connect('127.0.0.1:1', 'a-token')\n"
        "try:\n    z.runs.list()\n"
        "except zeroloop.Error as error:\n    print(type(error).__name__)\n"
        "z.close()\n"
        "print([getattr(zeroloop, name) is not None for name in zeroloop.__all__].count(False))\n"
    )

    assert run(python, code, tmp_path).split() == ["UnavailableError", "0"]


def test_the_command_without_its_extra_says_what_to_install(python: str, tmp_path: Path) -> None:
    command = str(Path(python).parent / "zeroloop")
    done = subprocess.run(
        [command, "runs"], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'zeroloop[cli]'" in done.stderr
