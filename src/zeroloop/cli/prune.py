"""`zeroloop prune`."""

from pathlib import Path

import click

from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.source import Source, Target, read, run_options


@click.command()
@run_options
@click.option(
    "--keep-rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Newest rounds to leave whole.",
)
@json_option
@click.pass_context
def prune(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    keep_rounds: int,
    as_json: bool,
) -> None:
    """Remove responses and tokens of old rounds, to free space.

    Tasks, rewards, figures and evaluations stay.

    \b
    Example:
      zeroloop prune runs/latest --keep-rounds 5
    """

    async def ask(source: Source) -> int:
        return await source.client.rounds.prune(source.run.name, keep_rounds=keep_rounds)

    pruned = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json({"pruned_rounds": pruned, "kept_rounds": keep_rounds})
    else:
        click.echo(f"pruned {pruned} rounds; the newest {keep_rounds} are whole")
