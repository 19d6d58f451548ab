"""Every option of the algorithm does something."""

import ast
from collections.abc import Iterator
from pathlib import Path

from zeroloop.core import settings

ROOT = Path(__file__).resolve().parents[2]


def attributes_read() -> Iterator[str]:
    for folder in ("src", "services", "trainer"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    yield node.attr


def test_no_option_is_written_down_and_then_read_nowhere() -> None:
    assert set(settings.names()) - set(attributes_read()) == set()
