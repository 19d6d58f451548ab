"""`zeroloop report`, and the report that ends a `zeroloop play`."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import click

from zeroloop.cli.facts import RunFacts, gather
from zeroloop.cli.folders import RunFolder
from zeroloop.cli.report.page import page
from zeroloop.cli.source import Target, opened, reading, run_options
from zeroloop.cli.spans import Node, Span, read_spans, round_tree
from zeroloop.errors import NotFoundError


@click.command()
@run_options
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write it.  [default: report.html in the run's folder]",
)
@click.pass_context
def report(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    output: Path | None,
) -> None:
    """Write a page that tells what happened in a run.

    One HTML file that needs nothing else: held-out accuracy before and after, curves,
    the tasks it invented, where the time went, and the settings.

    \b
    Example:
      zeroloop report runs/latest --output report.html
    """
    target = Target(run, address, runs_dir, context.obj)
    click.echo(str(asyncio.run(_report(target, output))))


async def _report(target: Target, output: Path | None) -> Path:
    async with opened(target) as source:
        facts = await gather(source.client, source.run, await source.events())
    folder = source.folder
    path = output or (folder.report if folder else Path(f"{source.run.name}-report.html"))
    _write(path, page(facts, _traces(facts, folder)))
    return path


async def write_report(folder: RunFolder, environ: Mapping[str, str]) -> RunFacts:
    """Write a folder's report.html; return what it was made of."""
    async with reading(folder, environ) as client:
        facts = await gather(client, folder.load(), folder.events())
    _write(folder.report, page(facts, _traces(facts, folder)))
    return facts


def _traces(facts: RunFacts, folder: RunFolder | None) -> list[tuple[int, Node]]:
    if folder is None:
        return []
    spans = read_spans(folder.telemetry)
    return [(r.index, t) for r in facts.played if (t := _trace(spans, r.index)) is not None]


def _trace(spans: list[Span], round_index: int) -> Node | None:
    try:
        return round_tree(spans, round_index)
    except NotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Replace the file whole, so that a full disk leaves the old one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
