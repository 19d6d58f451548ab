"""`zeroloop doctor`."""

from collections.abc import Mapping
from pathlib import Path

import click

from zeroloop.cli import checks
from zeroloop.cli.checks import Check, Verdict
from zeroloop.cli.machine import this_machine
from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.settings import SEEDLING

_MARKS = {Verdict.OK: "ok", Verdict.WARNING: "note", Verdict.MISSING: "MISSING"}


@click.command()
@click.option("--model", default=SEEDLING, show_default=True, metavar="FOLDER")
@click.option("--runs-dir", default="runs", show_default=True, metavar="FOLDER")
@click.option("--quiet", is_flag=True, help="Show only what is missing.")
@json_option
@click.pass_context
def doctor(context: click.Context, model: str, runs_dir: str, *, quiet: bool, as_json: bool) -> int:
    """Say what this machine lacks, and what mends it.

    Exit code 1 if something is missing.

    \b
    Example:
      zeroloop doctor --json | jq '.[] | select(.verdict != "ok")'
    """
    found = look(context.obj, Path.cwd(), model, runs_dir)
    missing = [check for check in found if check.verdict is Verdict.MISSING]
    if as_json:
        print_json(found)
    else:
        for check in missing if quiet else found:
            click.echo(told(check))
        if not quiet and not missing:
            click.echo("everything is here: zeroloop play")
    return 1 if missing else 0


def look(environ: Mapping[str, str], folder: Path, model: str, runs_dir: str) -> list[Check]:
    """Look at everything that a run needs."""
    here = checks.checkout(environ, folder)
    root = Path(here.found) if here.verdict is Verdict.OK else folder
    return [
        checks.python(),
        here,
        *(checks.packages(group, modules) for group, modules in checks.GROUPS.items()),
        *([checks.libraries()] if checks.is_cpu_build() else []),
        checks.sandbox(environ),
        checks.go(environ),
        checks.model(root / model),
        checks.ports(),
        checks.disk(folder / runs_dir),
        checks.hardware(this_machine()),
        checks.token(environ),
    ]


def told(check: Check) -> str:
    """One line; a second one with the remedy where there is one."""
    line = f"{_MARKS[check.verdict]:<8} {check.name:<20} {check.found}"
    return f"{line}\n{'':<9}{'':<20} {check.remedy}" if check.remedy else line
