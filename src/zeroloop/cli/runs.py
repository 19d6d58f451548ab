"""`zeroloop runs`: which there are, and steering those that are played."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from zeroloop import aio
from zeroloop.cli.folders import list_runs
from zeroloop.cli.output import json_option, print_json, table
from zeroloop.core.runs import Run
from zeroloop.errors import ConfigError, CorruptDataError

address_option = click.option(
    "--address", envvar="ZEROLOOP_ADDRESS", metavar="HOST:PORT", help="Of the controller."
)


@click.group(invoke_without_command=True)
@address_option
@click.option(
    "--runs-dir",
    envvar="ZEROLOOP_PLAY__RUNS_DIR",
    default="runs",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where runs on this machine are kept.",
)
@json_option
@click.pass_context
def runs(context: click.Context, address: str | None, runs_dir: Path, *, as_json: bool) -> None:
    """List runs, newest first; suspend, resume or stop one.

    \b
    Examples:
      zeroloop runs
      zeroloop runs --address zeroloop.example:7070 --json
      zeroloop runs suspend coder-7b --address zeroloop.example:7070
    """
    if context.invoked_subcommand is not None:
        context.obj = {"address": address}
        return
    found = asyncio.run(_remote(address)) if address else _local(runs_dir)
    if as_json:
        print_json(found)
    elif found:
        click.echo(table(*_rows(found)))
    else:
        click.echo(f"no runs in {runs_dir}; `zeroloop play` makes one")


@runs.command()
@click.argument("name")
@address_option
@click.pass_context
def suspend(context: click.Context, name: str, address: str | None) -> None:
    """Let the present stage of run NAME end, then play no further."""
    _steer(context, address, lambda z: z.runs.suspend(name))


@runs.command()
@click.argument("name")
@address_option
@click.option("--rounds", type=int, default=0, help="Rounds to play in all.")
@click.pass_context
def resume(context: click.Context, name: str, address: str | None, rounds: int) -> None:
    """Go on with run NAME at its first missing stage."""
    _steer(context, address, lambda z: z.runs.resume(name, rounds=rounds))


@runs.command()
@click.argument("name")
@address_option
@click.option("--resumable", is_flag=True, help="Until `resume`, not for good.")
@click.pass_context
def stop(context: click.Context, name: str, address: str | None, *, resumable: bool) -> None:
    """Stop run NAME within seconds."""
    _steer(context, address, lambda z: z.runs.stop(name, resumable=resumable))


def _steer(
    context: click.Context,
    address: str | None,
    act: Callable[[aio.Client], Coroutine[Any, Any, aio.Run]],
) -> None:
    where = address or context.obj["address"]
    if not where:
        raise ConfigError(
            "name the controller that plays the run with --address; a run of `zeroloop play` is "
            "stopped with Ctrl-C there and resumed with `zeroloop play --resume`"
        )

    async def work() -> aio.Run:
        async with aio.connect(where) as client:
            return await act(client)

    run = asyncio.run(work())
    click.echo(f"{run.name}: {run.phase}, round {run.round} of {run.rounds}")


async def _remote(address: str) -> list[Run]:
    async with aio.connect(address) as client:
        return [run.value for run in await client.runs.list()]


def _local(runs_dir: Path) -> list[Run]:
    found: list[Run] = []
    for folder in list_runs(runs_dir):
        try:
            found.append(folder.load())
        except CorruptDataError as error:
            click.echo(f"warning: {error}", err=True)
    return found


def _rows(found: list[Run]) -> tuple[list[str], list[list[object]]]:
    header = ["NAME", "PHASE", "ROUND", "WEIGHTS", "TASKS", "SOLVER", "MODEL", "CREATED"]
    rows: list[list[object]] = [
        [
            run.name,
            run.status.phase,
            f"{run.status.round}/{run.spec.rounds}",
            f"v{run.status.weights_version}",
            run.status.tasks,
            f"{run.status.solver_accuracy:.2f}",
            Path(run.spec.model).name,
            f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
        ]
        for run in found
    ]
    return header, rows
