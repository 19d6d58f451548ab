"""`zeroloop exec`."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from zeroloop import aio
from zeroloop._results import Execution
from zeroloop.cli.durations import short
from zeroloop.cli.local import local_service
from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.ready import ready
from zeroloop.cli.runs import address_option
from zeroloop.core.execution import Determinism, Isolation, Limits, Result
from zeroloop.core.tasks import RunStatus


@click.command("exec")
@click.argument("source")
@click.argument("inputs", nargs=-1)
@click.option("--cpu-time", type=float, default=1.0, show_default=True, help="Seconds per run.")
@click.option("--memory", type=int, default=512, show_default=True, help="MiB per run.")
@address_option
@json_option
@click.pass_context
def execute(
    context: click.Context,
    source: str,
    inputs: tuple[str, ...],
    cpu_time: float,
    memory: int,
    address: str | None,
    *,
    as_json: bool,
) -> int:
    """Run a program in the sandbox, once per input.

    Each run is done twice, in fresh interpreters, and compared.

    SOURCE is Python text that defines f, a file that holds it, or - for standard input.
    INPUTS are argument lists as literals. Without --address a sandbox is started on this
    machine for the occasion. Exit code 1 if a run did not return a value.

    \b
    Example:
      zeroloop exec 'def f(x): return x[::-1]' "'abc'"
    """
    text = _read(source)
    limits = Limits(cpu_time_s=cpu_time, memory_mib=memory)
    execution = asyncio.run(_execute(text, inputs or ("",), limits, address, context.obj))
    if as_json:
        print_json(execution.results)
    else:
        for result in execution:
            click.echo(_told(result))
    return 0 if execution.ok else 1


def _read(source: str) -> str:
    if source == "-":
        return sys.stdin.read()
    if "\n" not in source and not source.lstrip().startswith(("def ", "import ", "from ")):
        path = Path(source)
        if path.is_file():
            return path.read_text("utf-8")
    return source


async def _execute(
    text: str,
    inputs: tuple[str, ...],
    limits: Limits,
    address: str | None,
    environ: Mapping[str, str],
) -> Execution:
    if address:
        async with aio.connect(address) as client:
            return await client.exec(text, inputs, limits=limits)
    async with local_service("execution", ["--sandboxes", "1"], environ) as (client, child):
        return await ready(child, lambda: client.exec(text, inputs, limits=limits))


def _told(result: Result) -> str:
    unsafe = "   NOT ISOLATED" if result.isolation is Isolation.UNSAFE else ""
    took = short(result.wall_time_s)
    if result.status is RunStatus.OK:
        same = {
            Determinism.YES: "deterministic",
            Determinism.NO: "NOT deterministic",
            Determinism.UNKNOWN: "determinism unknown",
        }
        return f"{result.value}   {same[result.determinism]}, {took}{unsafe}"
    why = ": ".join(part for part in (result.type_name, result.message, result.detail) if part)
    return f"{result.status}   {why}, {took}{unsafe}"
