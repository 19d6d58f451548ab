"""Write docs/reference/settings.md from the settings themselves.

python -m tools.settings_reference            write it
python -m tools.settings_reference --check    exit 1 if it is stale
"""

import sys
from pathlib import Path

from pydantic import BaseModel

from services.controller.options import PlayOptions
from zeroloop.core import settings
from zeroloop.core.presets import PAPER, PRESETS, departures

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"

HEAD = """# Settings of a run

Generated from the code by `make settings-reference`.

A setting can be given as `--set name=value`, in the `[settings]` table of `zeroloop.toml`, or in
`RunSpec.settings`.
Unknown names and values out of range are refused, all of them at once.
A preset names values for some of them; what a run was played with is printed and kept with it.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_presets(), *_algorithm(), *_platform()]) + "\n"


def _presets() -> list[str]:
    lines = ["## Presets", ""]
    for preset in PRESETS.values():
        lines += [f"### `{preset.name}`: {preset.purpose}", ""]
        rows = departures(preset.settings, preset)
        if not rows:
            lines += ["The published sizes and options.", ""]
            continue
        lines += ["| Setting | Paper | Here | Why |", "|---|---|---|---|"]
        lines += [f"| `{d.name}` | {_code(d.paper)} | {_code(d.value)} | {d.why} |" for d in rows]
        lines.append("")
    return lines


def _algorithm() -> list[str]:
    lines = [
        "## The algorithm",
        "",
        "Defaults are those of the preset `paper`.",
        '"D1" to "D23" name the points where the paper and its reference code differ.',
        "",
        "| Setting | Default | Allowed | Meaning |",
        "|---|---|---|---|",
    ]
    defaults = PAPER.to_mapping()
    return [
        *lines,
        *(
            f"| `{name}` | {_code(defaults[name])} | {settings.allowed(name)} "
            f"| {settings.describe(name)} |"
            for name in settings.names()
        ),
        "",
    ]


def _platform() -> list[str]:
    lines = [
        "## The platform",
        "",
        "No result depends on these.",
        "",
        "| Setting | Default | Meaning |",
        "|---|---|---|",
    ]
    for section, field in PlayOptions.model_fields.items():
        kind = field.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            lines.append(_row(section, field.default, field.description))
            continue
        lines += [
            _row(f"{section}.{name}", inner.default, inner.description)
            for name, inner in kind.model_fields.items()
        ]
    return lines


def _row(name: str, default: object, description: str | None) -> str:
    meaning = " ".join((description or "").split())
    return f"| `{name}` | {_code(default)} | {meaning} |"


def _code(value: object) -> str:
    if isinstance(value, list | tuple):
        return "`" + ", ".join(str(item) for item in value) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main(arguments: list[str]) -> int:
    """Write the page or check it."""
    text = page()
    if "--check" in arguments:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/reference/settings.md is stale; run `make settings-reference`")
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
