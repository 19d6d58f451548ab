"""`zeroloop weights`: list, export and promote."""

from pathlib import Path

import click

from zeroloop.cli.output import json_option, print_json, table
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.core.batches import Weights
from zeroloop.core.runs import Promotion
from zeroloop.errors import ConfigError


@click.group()
def weights() -> None:
    """The versions of a run's weights: list, export, promote.

    \b
    Examples:
      zeroloop weights list
      zeroloop weights export ./my-model
      zeroloop weights promote first --version 12
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


@weights.command()
@run_options
@click.option("--version", type=int, help="Which one.  [default: the newest]")
@click.option(
    "--to",
    "inference_service",
    default="",
    metavar="NAME",
    help="InferenceService that serves it from now, on Kubernetes.",
)
@json_option
@click.pass_context
def promote(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    version: int | None,
    inference_service: str,
    as_json: bool,
) -> None:
    """Keep a version for ever; with --to, let an InferenceService of KServe's serve it.

    Asks the controller, so it wants its --address.

    \b
    Example:
      zeroloop weights promote first --version 12 --to coder --address localhost:50051
    """
    if not address:
        raise ConfigError("name the controller of the run with --address; a folder has none")

    async def ask(source: Source) -> Promotion:
        return await source.client.weights.promote(
            run=source.run.name, version=version, inference_service=inference_service
        )

    promoted = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json(promoted)
        return
    click.echo(f"weights v{promoted.version} are kept")
    if promoted.storage_uri:
        click.echo(f"InferenceService {inference_service} fetches {promoted.storage_uri}")
