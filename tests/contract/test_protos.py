"""The contract: linted, documented, not broken, and the stubs are what the protos say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_protos_are_lint_clean() -> None:
    lint = run(str(BUF), "lint")

    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_nothing_breaks_callers_of_the_last_release() -> None:
    tags = run("git", "tag", "--list", "v*", "--sort=-version:refname").stdout.split()
    base = tags[0] if tags else run("git", "rev-list", "--max-parents=0", "HEAD").stdout.split()[0]
    if not run("git", "ls-tree", "-r", "--name-only", base, "protos").stdout:
        base = run("git", "log", "--format=%H", "--diff-filter=A", "--", "buf.yaml").stdout.split()[
            -1
        ]

    breaking = run(str(BUF), "breaking", "--against", f".git#ref={base}")

    assert breaking.returncode == 0, breaking.stdout + breaking.stderr


def test_committed_stubs_are_what_the_protos_say() -> None:
    check = run(sys.executable, "-m", "tools.protos", "--check")

    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize(
    "proto", sorted((ROOT / "protos").rglob("*.proto")), ids=lambda path: path.stem
)
def test_every_service_method_and_enum_is_explained(proto: Path) -> None:
    lines = proto.read_text().splitlines()
    bare = [
        f"{proto.name}:{number + 1}: {line.strip()}"
        for number, line in enumerate(lines)
        if re.match(r"(service|enum) ", line) and not lines[number - 1].lstrip().startswith("//")
    ]

    assert not bare, f"say what these are, above them: {bare}"
