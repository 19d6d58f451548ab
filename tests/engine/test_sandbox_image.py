"""The file system of sandboxes, made beforehand as container images do."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.execution.isolation.image import RUNNER, ensure_image
from services.execution.isolation.interpreter import probe

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "services.execution.isolation"]


def test_what_was_made_beforehand_needs_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = subprocess.run(
        [*COMMAND, tmp_path], cwd=ROOT, check=True, capture_output=True, text=True
    )
    monkeypatch.setenv("PATH", "")

    image = ensure_image(probe(Path(sys.executable)), tmp_path)

    assert image.digest in made.stdout
    for name in ("guard.so", "clock.so"):
        assert (image.root / RUNNER / name).read_bytes()[:4] == b"\x7fELF"
    assert [path.name for path in (tmp_path / "sandbox").iterdir()] == [image.root.parent.name]


def test_it_wants_to_know_where() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 64
    assert "CACHE" in done.stderr
