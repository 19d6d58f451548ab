"""Reading and rewriting program text."""

import pytest

from zeroloop.core import programs


def test_imports_come_once_each_in_source_order() -> None:
    source = (
        "def f(x):\n    from re import sub as s, match\n    import os\n    return x\n"
        "import math, json\nimport os\n"
    )
    assert programs.imports(source) == (
        "from re import sub as s, match",
        "import os",
        "import math, json",
    )


def test_imports_of_text_that_does_not_parse_are_found_by_line() -> None:
    assert programs.imports("import os  # why\ndef f(:\n  from a import b\nimport os") == (
        "import os",
        "from a import b",
    )


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        ("import os\ndef f(x):\n    return x", "def f(x):\n    return x"),
        ("from a import (\n    b,\n    c,\n)\n\n# why\nX = 1", "# why\nX = 1"),
        ("import os; import re\nX = 1", "X = 1"),
        ("import os; X = 1", "import os; X = 1"),
        ("try:\n    import os\nexcept ImportError:\n    pass", None),
        ("def f(x):\n    import os\n    return x", None),
        ('X = """\nimport os\n"""', None),
        ("import os\n@deco\ndef f(x): return x", "@deco\ndef f(x): return x"),
        ("def f(:", None),
        ("import os\r\nX = 1", None),
    ],
)
def test_top_level_imports_are_taken_out(source: str, rest: str | None) -> None:
    assert programs.without_imports(source) == (source if rest is None else rest)


SOURCE = """\
import os
N = 1  # why
def f(x):
    'Doc.'
    print(x)
    return x
class A:
    'Doc.'
print(f(1))"""


@pytest.mark.parametrize(
    ("chosen", "gone"),
    [
        ("comments", {"  # why", "    'Doc.'"}),
        ("after_return", {"N = 1", "  # why", "print(f(1))"}),
        ("prints", {"  # why", "    print(x)", "print(f(1))"}),
    ],
)
def test_rewrites(chosen: str, gone: set[str]) -> None:
    """A round trip through the tree drops comments in any case; bodies are never left empty."""
    flags = {"comments": False, "after_return": False, "prints": False, chosen: True}
    found = programs.rewritten(SOURCE, **flags)
    expected = SOURCE
    for text in gone:
        expected = expected.replace(text, "")
    assert _statements(found) == _statements(expected)
    assert programs.parse(found) is not None


def _statements(source: str) -> list[str]:
    lines = (line.strip().replace('"""', "'") for line in source.splitlines())
    return [line for line in lines if line not in ("", "pass")]


def test_text_that_does_not_parse_is_left_alone() -> None:
    source = "def f(:  # why"
    assert programs.rewritten(source, comments=True, after_return=True, prints=True) == source
