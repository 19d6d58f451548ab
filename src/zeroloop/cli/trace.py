"""`zeroloop trace`."""

from collections.abc import Sequence
from pathlib import Path

import click

from zeroloop.cli.durations import short
from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.cli.spans import (
    ROUND_ATTRIBUTE,
    ROUND_SPAN,
    Span,
    read_spans,
    render,
    round_tree,
    to_json,
)
from zeroloop.core.rounds import Round
from zeroloop.errors import NotFoundError


@click.command()
@run_options
@click.option("--round", "round_index", type=int, help="Which one.  [default: the newest]")
@click.option(
    "--depth", type=click.IntRange(0), default=1, show_default=True, help="Levels to show."
)
@json_option
@click.pass_context
def trace(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    round_index: int | None,
    depth: int,
    as_json: bool,
) -> None:
    """Show a round across all processes, as a tree.

    Equal pieces of work become one line with their number; times are from the first start
    to the last end. Of a run elsewhere the stages and the trace's id are shown: the spans are
    where its OpenTelemetry collector sends them.

    \b
    Example:
      zeroloop trace runs/latest --round 14 --depth 2
    """
    target = Target(run, address, runs_dir, context.obj)
    if target.address:
        _remote(target, round_index, as_json=as_json)
        return
    folder = target.folder()
    spans = read_spans(folder.telemetry)
    if round_index is None:
        round_index = _newest_round(spans)
    tree = round_tree(spans, round_index)
    if as_json:
        print_json({"trace_id": tree.spans[0].trace_id, **to_json(tree)})
    else:
        click.echo("\n".join(render(tree, depth=depth)))


def _newest_round(spans: Sequence[Span]) -> int:
    rounds = [
        int(span.attributes[ROUND_ATTRIBUTE])
        for span in spans
        if span.name == ROUND_SPAN and ROUND_ATTRIBUTE in span.attributes
    ]
    if not rounds:
        raise NotFoundError("no round of this run has finished its trace yet")
    return max(rounds)


def _remote(target: Target, round_index: int | None, *, as_json: bool) -> None:
    async def ask(source: Source) -> Round:
        wanted = source.run.status.round if round_index is None else round_index
        return await source.client.rounds.get(source.run.name, wanted)

    one = read(target, ask)
    trace_id = [*one.traceparent.split("-"), "", ""][1]
    if as_json:
        print_json({"trace_id": trace_id, "stages": one.stages})
        return
    click.echo(f"round {one.round}, trace {trace_id or 'unknown'}")
    for stage in one.stages:
        click.echo(f"  {stage.stage:<12}{short(stage.duration_s):>9}   {stage.records} records")
