"""House rules that a machine can check; each failure says how to mend it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "misc"}
TEXT = (".py", ".proto", ".md", ".yaml", ".sh", ".toml", ".lock", ".txt", ".json")
ENVIRONMENT_READERS = {
    "services/_server/settings.py",
    "src/zeroloop/client/tls.py",
    "src/zeroloop/client/token.py",
}
"""Besides entry points (`__main__.py`, the CLI), the only files that look at the environment."""


def committed(*suffixes: str) -> list[str]:
    """Paths of the tracked files with one of the suffixes, relative to the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    names = [name for name in listing.split("\0") if name.endswith(suffixes)]
    return [name for name in names if "_pb2" not in name and (ROOT / name).exists()]


def written() -> list[str]:
    """Python files of the product, without tests."""
    return [name for name in committed(".py") if not name.startswith("tests/")]


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def reads_environment(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(tree)
    )


def test_functions_fit_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {code_lines(node)} lines"
        for name in written()
        for node in functions_of(ast.parse((ROOT / name).read_text()))
        if code_lines(node) > FUNCTION_LINES_MAX
    ]
    assert not long, f"split these (at most {FUNCTION_LINES_MAX} lines each):\n" + "\n".join(long)


def test_files_have_one_subject() -> None:
    long = [
        f"{name} has {lines} lines"
        for name in committed(".py")
        if (lines := len((ROOT / name).read_text().splitlines())) > FILE_LINES_MAX
    ]
    assert not long, f"split these (at most {FILE_LINES_MAX} lines each):\n" + "\n".join(long)


def test_modules_are_named_for_what_they_hold() -> None:
    vague = [
        name for name in committed(".py") if BANNED_MODULES & set(Path(name).with_suffix("").parts)
    ]
    assert not vague, f"name these for what they hold: {vague}"


def test_only_entry_points_read_the_environment() -> None:
    readers = [
        name
        for name in written()
        if reads_environment(ast.parse((ROOT / name).read_text()))
        and name not in ENVIRONMENT_READERS
        and not name.endswith("__main__.py")
        and not name.startswith(("src/zeroloop/cli/", "tools/", "models/", "trainer/launch"))
    ]
    assert not readers, f"take settings as arguments instead of reading os.environ: {readers}"


def test_nothing_blocks_the_event_loop_by_sleeping() -> None:
    sleepers = [
        name
        for name in written()
        if name.startswith("services/")
        and re.search(r"\btime\.sleep\(", (ROOT / name).read_text())
        and "/runner/" not in name
    ]
    assert not sleepers, f"await asyncio.sleep instead of time.sleep: {sleepers}"


def test_every_promise_has_an_issue() -> None:
    pattern = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))")
    loose = [
        f"{name}:{number}"
        for name in committed(".py", ".proto", ".md", ".yaml", ".sh")
        if name != "tests/test_tidy.py"
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not loose, f"write TODO(#issue) or do it: {loose}"


def test_nothing_speaks_of_the_machine_it_was_made_on() -> None:
    pattern = re.compile(r"/work/|/tmp/zl|/root/|files\.pythonhosted|registry\.npmjs|proxy\.golang")
    places = [
        f"{name}:{number}"
        for name in committed(*TEXT)
        if name != "tests/test_tidy.py"
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not places, f"remove paths and addresses of this machine: {places}"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        pytest.param("def f():\n    return 1\n", 2, id="plain"),
        pytest.param('def f():\n    """One.\n\n    Two."""\n    return 1\n', 2, id="docstring"),
    ],
)
def test_the_docstring_does_not_count(source: str, lines: int) -> None:
    (function,) = functions_of(ast.parse(source))

    assert code_lines(function) == lines
