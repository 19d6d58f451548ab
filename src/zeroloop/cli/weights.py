"""`zeroloop weights`: list and export."""

from pathlib import Path

import click

from zeroloop.cli.output import json_option, print_json, table
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.core.batches import Weights


@click.group()
def weights() -> None:
    """The versions of a run's weights: list, export.

    \b
    Examples:
      zeroloop weights list
      zeroloop weights export ./my-model
    """


@weights.command("list")
@run_options
@json_option
@click.pass_context
def list_(
    context: click.Context, run: str | None, address: str | None, runs_dir: Path, *, as_json: bool
) -> None:
    """List the versions that are kept, newest first.

    \b
    Example:
      zeroloop weights list runs/latest
    """

    async def ask(source: Source) -> list[Weights]:
        return await source.client.weights.list(run=source.run.name)

    found = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json(found)
        return
    rows: list[list[object]] = [
        [
            f"v{one.version}",
            f"{one.size_bytes / 1e6:.1f} MB",
            "kept" if one.promoted else "",
            one.manifest_digest[:12],
            one.uri,
        ]
        for one in found
    ]
    click.echo(table(["VERSION", "SIZE", "PROMOTED", "DIGEST", "WHERE"], rows))


@weights.command()
@click.argument("folder", type=click.Path(path_type=Path))
@run_options
@click.option("--version", type=int, help="Which one.  [default: the newest]")
@json_option
@click.pass_context
def export(
    context: click.Context,
    folder: Path,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    version: int | None,
    as_json: bool,
) -> None:
    """Copy a version to FOLDER, as a Hugging Face model, every file verified.

    FOLDER must not exist; it appears whole or not at all.

    \b
    Example:
      zeroloop weights export ./my-model runs/latest --version 12
    """

    async def ask(source: Source) -> Weights:
        return await source.client.weights.export(folder, run=source.run.name, version=version)

    exported = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json(exported)
    else:
        click.echo(f"weights v{exported.version} of run {exported.run} are in {folder}, verified")
