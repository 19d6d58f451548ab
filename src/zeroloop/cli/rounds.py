"""`zeroloop rounds`."""

from pathlib import Path

import click

from zeroloop.cli.durations import short
from zeroloop.cli.output import json_option, print_json, table
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.rounds import Round
from zeroloop.core.tasks import Kind


@click.command()
@run_options
@json_option
@click.pass_context
def rounds(
    context: click.Context, run: str | None, address: str | None, runs_dir: Path, *, as_json: bool
) -> None:
    """The rounds of a run with their figures, oldest first.

    \b
    Example:
      zeroloop rounds runs/latest --json | jq '.[].metrics.loss'
    """

    async def ask(source: Source) -> list[Round]:
        return await source.client.rounds.list(run=source.run.name)

    found = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json(found)
    else:
        solver = [f"SOLVE {kind[:3].upper()}" for kind in Kind]
        header = ["ROUND", "STATE", "WEIGHTS", "VALID", "LEARNABLE", *solver, "LOSS", "TIME"]
        click.echo(table(header, [_row(one) for one in found]))


def _row(one: Round) -> list[object]:
    took = None
    if one.committed_at is not None:
        took = short((one.committed_at - one.opened_at).total_seconds())
    return [
        one.round,
        one.state,
        f"v{one.weights_version}",
        _percent(one, figures.VALIDITY),
        _percent(one, figures.LEARNABLE),
        *(_percent(one, by_kind(figures.SOLVER_ACCURACY, kind)) for kind in Kind),
        one.metrics.get(figures.LOSS),
        took,
    ]


def _percent(one: Round, name: str) -> str | None:
    value = one.metrics.get(name)
    return None if value is None else f"{value * 100:.0f} %"
