"""The service in a gVisor container of its own, as in a pod, without a cluster.

`tests/cluster/test_execution_pod.py` does the same in a real one.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from services.execution.backend import built_runsc, cache_folder
from services.execution.isolation.image import ensure_image
from services.execution.isolation.interpreter import probe
from services.execution.isolation.runsc import Runsc, find_runsc, run_command
from services.execution.prepare import prepare
from services.execution.settings import ExecutionSettings
from tests.engine.busy import burning, loops_in

ROOT = Path(__file__).resolve().parents[2]
CACHE = cache_folder(None, os.environ)
PREPARE = ["-m", "services.execution.prepare", "--isolation=gvisor-pod", "--sandboxes=1"]
RIGHTS = ("CAP_SETGID", "CAP_SETUID")
IN_POD_S = 150.0

BUSY = """
import asyncio, os, sys
from collections import Counter
from pathlib import Path
sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "src")]
from services.execution.backend import open_backend
from services.execution.settings import ExecutionSettings
from zeroloop.core.execution import Limits, Program

SUM = "def f(n):\\n    x = 0\\n    for i in range(n):\\n        x += i * i\\n    return x\\n"
LIMITS = Limits(cpu_time_s=1.0, wall_time_s=60.0)

async def main(loops):
    settings = ExecutionSettings(isolation="gvisor-pod", sandboxes=1, workers=2)
    async with open_backend(settings, Path(os.environ["ZEROLOOP_CACHE"])) as backend:
        programs = [Program(SUM, (loops,) * 6), Program("def f():\\n    while True: pass")]
        results = [r async for ready in backend.pool.execute(programs, LIMITS) for r in ready]
    print(sorted(Counter(f"{r.status} {r.detail}".strip() for r in results).items()))
    print(max(r.wall_time_s for r in results if r.status == "ok"))

asyncio.run(main(sys.argv[1]))
"""

InPod = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One on which gVisor works here."""
    settings = ExecutionSettings(sandboxes=1, scratch_dir=tmp_path_factory.mktemp("scratch"))
    return asyncio.run(prepare(settings)).platform


@pytest.fixture
def in_pod(tmp_path: Path, platform: str) -> InPod:
    """Runs Python in a container with this checkout, as user 0 with some rights; says its end."""
    runsc = find_runsc(None, built_runsc(CACHE))
    ensure_image(probe(Path(sys.executable)), CACHE)

    def run(*arguments: str, rights: Sequence[str] = RIGHTS) -> "subprocess.CompletedProcess[str]":
        write_bundle(tmp_path / "bundle", [sys.executable, *arguments], rights)
        (tmp_path / "state").mkdir(exist_ok=True)
        return subprocess.run(
            in_foreground(runsc, platform, tmp_path),
            check=False,
            capture_output=True,
            text=True,
            timeout=IN_POD_S,
        )

    return run


def in_foreground(runsc: Runsc, platform: str, folder: Path) -> list[str]:
    return run_command(
        runsc,
        platform=platform,
        state=folder / "state",
        bundle=folder / "bundle",
        name=f"pod-{os.getpid()}",
    )


def write_bundle(folder: Path, command: list[str], rights: Sequence[str]) -> None:
    """A container that sees of the host what Python needs, and can write to /tmp alone."""
    root = folder / "root"
    shown = [Path(p) for p in ("/usr", ROOT, sys.prefix, sys.base_prefix, CACHE / "sandbox")]
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    for link in ("bin", "lib", "lib64"):
        if Path("/", link).is_symlink() and not (root / link).is_symlink():
            (root / link).symlink_to(Path("/", link).readlink())
    for path in shown:
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    mounts = [
        {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", "ro"]}
        for path in shown
    ]
    mounts += [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/tmp", "type": "tmpfs", "source": "none"},
    ]
    config = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": [f"ZEROLOOP_CACHE={CACHE}", "HOME=/tmp"],
            "cwd": str(ROOT),
            "noNewPrivileges": True,
            "capabilities": {kind: list(rights) for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        },
    }
    (folder / "config.json").write_text(json.dumps(config))


def test_every_limit_bites_in_a_pod(in_pod: InPod) -> None:
    done = in_pod(*PREPARE)

    assert done.returncode == 0, done.stderr
    assert "on pod" in done.stdout
    assert "every limit proven in reset and strict" in done.stdout


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        pytest.param([], "CAP_SETGID and CAP_SETUID", id="none"),
        pytest.param(["CAP_SETUID"], "lacks CAP_SETGID;", id="half"),
    ],
)
def test_a_pod_without_its_rights_is_refused(
    in_pod: InPod, rights: list[str], missing: str
) -> None:
    done = in_pod(*PREPARE, rights=rights)

    assert done.returncode == 64
    assert missing in done.stderr
    assert "SETUID and SETGID" in done.stderr


@pytest.mark.timeout(180)
def test_a_busy_machine_makes_no_time_outs_in_a_pod(in_pod: InPod) -> None:
    """By gVisor's clock alone all of these would be time-outs."""
    with burning(8 * (os.cpu_count() or 1)):
        done = in_pod("-c", BUSY, str(loops_in(0.25)))

    ends, slowest_s = done.stdout.splitlines()
    assert ends == "[('ok', 6), ('timeout cpu', 1)]", done.stderr
    assert float(slowest_s) > 1.0, "the machine was not busy"


def test_an_ordinary_kernel_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, *PREPARE], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert done.returncode == 64
    assert "the kernel here is not gVisor's" in done.stderr
    assert "runtimeClassName: gvisor" in done.stderr
