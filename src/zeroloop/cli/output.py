"""What commands print: JSON for programs, aligned columns for people."""

import dataclasses
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(value: Any) -> Any:
    """Return `value` as what JSON can hold; dataclasses become objects of their fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple | set | frozenset | array):
        return [plain(item) for item in cast("Iterable[Any]", value)]
    if isinstance(value, Path):
        return str(value)
    return value


def print_json(value: Any) -> None:
    """Print `value`, readable and stable."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print `value` on one line."""
    click.echo(json.dumps(plain(value), ensure_ascii=False))


def counted(count: int, noun: str) -> str:
    """Write a count and what it counts: `1 round`, `2 rounds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align columns by their widest cell; numbers stand to the right."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    raw = [header, *cells]
    widths = [max(len(line[i]) for line in raw) for i in range(len(header))]
    right = [bool(cells) and all(_is_number(line[i]) for line in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in raw
    ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def _is_number(text: str) -> bool:
    stripped = text.rstrip(" %").lstrip("v+-\u2212")
    return text == "-" or stripped.replace(".", "", 1).replace(" ", "").isdigit()
