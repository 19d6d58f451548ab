"""`zeroloop tasks`: list, show, export."""

from pathlib import Path
from typing import Any

import click

from zeroloop.cli.output import json_option, plain, print_json, print_json_line, table
from zeroloop.cli.play.progress import one_line
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

kind_option = click.option(
    "--kind", type=click.Choice([str(kind) for kind in Kind]), help="Only this kind."
)
rate_options = [
    click.option("--rate-min", type=click.FloatRange(0, 1), help="Solved at least this often."),
    click.option("--rate-max", type=click.FloatRange(0, 1), help="Solved at most this often."),
]


@click.group()
def tasks() -> None:
    """The tasks that the model invented: list, show, export.

    \b
    Examples:
      zeroloop tasks list --kind deduction --rate-min 0.1 --rate-max 0.5 --limit 10
      zeroloop tasks show 4f1c9a20
      zeroloop tasks export --format jsonl > tasks.jsonl
    """


@tasks.command("list")
@run_options
@kind_option
@rate_options[0]
@rate_options[1]
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@json_option
@click.pass_context
def list_(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    kind: str | None,
    rate_min: float | None,
    rate_max: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List tasks, newest first.

    \b
    Example:
      zeroloop tasks list runs/latest --kind induction --limit 5
    """
    target = Target(run, address, runs_dir, context.obj)
    found = _found(target, kind, rate_min, rate_max, limit)
    if as_json:
        print_json([as_object(task) for task in found])
        return
    rows: list[list[object]] = [
        [task.task_id, task.kind, task.lineage.round, _rate(task), one_line(task.task.program, 60)]
        for task in found
    ]
    click.echo(table(["TASK", "KIND", "ROUND", "SOLVED", "PROGRAM"], rows))


@tasks.command()
@click.argument("task_id")
@run_options
@json_option
@click.pass_context
def show(
    context: click.Context,
    task_id: str,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    as_json: bool,
) -> None:
    """Show one task with its history.

    \b
    Example:
      zeroloop tasks show 4f1c9a20 runs/latest
    """

    async def ask(source: Source) -> StoredTask:
        return await source.client.tasks.get(task_id, run=source.run.name)

    task = read(Target(run, address, runs_dir, context.obj), ask)
    if as_json:
        print_json(as_object(task))
    else:
        click.echo("\n".join(told(task)))


@tasks.command()
@run_options
@kind_option
@rate_options[0]
@rate_options[1]
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@click.option(
    "--format",
    type=click.Choice(["jsonl"]),
    default="jsonl",
    show_default=True,
    expose_value=False,
    help="The only one so far.",
)
@click.pass_context
def export(
    context: click.Context,
    run: str | None,
    address: str | None,
    runs_dir: Path,
    *,
    kind: str | None,
    rate_min: float | None,
    rate_max: float | None,
    limit: int | None,
) -> None:
    """Write tasks to standard output, a JSON object per line, newest first.

    \b
    Example:
      zeroloop tasks export --kind deduction > deduction.jsonl
    """
    target = Target(run, address, runs_dir, context.obj)
    for task in _found(target, kind, rate_min, rate_max, limit):
        print_json_line(as_object(task))


def as_object(task: StoredTask) -> dict[str, Any]:
    """A task as one flat object."""
    return {
        **plain(task.task),
        "run": task.run,
        "sequence": task.sequence,
        "admitted_at": plain(task.admitted_at),
        "success_rate": task.success_rate,
        "lineage": plain(task.lineage),
        "observations": plain(task.observations),
    }


def told(task: StoredTask) -> list[str]:
    """A task as lines for people."""
    line = task.lineage
    lines = [
        f"{task.task_id}  {task.kind}, {line.origin} {line.round}",
        f"proposed by weights v{line.proposed_by_weights}, validated by {line.validator}",
        "",
        *(f"    {text}" for text in task.program.splitlines()),
        "",
    ]
    for number, case in enumerate(task.task.cases):
        hidden = "" if task.kind is not Kind.INDUCTION or number < task.task.shown else "  (hidden)"
        lines.append(f"f({case.input}) -> {case.output}{hidden}")
    if task.task.message:
        lines.append(f"hint: {task.task.message}")
    for seen in task.observations:
        solved = round(seen.success_rate * seen.attempts)
        lines.append(f"round {seen.round}, v{seen.weights_version}: {solved} of {seen.attempts}")
    return lines


def _found(
    target: Target,
    kind: str | None,
    rate_min: float | None,
    rate_max: float | None,
    limit: int | None,
) -> list[StoredTask]:
    bounded = rate_min is not None or rate_max is not None
    low = 0.0 if rate_min is None else rate_min
    high = 1.0 if rate_max is None else rate_max

    async def ask(source: Source) -> list[StoredTask]:
        return await source.client.tasks.list(
            run=source.run.name,
            kind=kind,
            success_rate=(low, high) if bounded else None,
            limit=limit,
        )

    return read(target, ask)


def _rate(task: StoredTask) -> str | None:
    if not task.observations:
        return None
    seen = task.observations[-1]
    return f"{round(seen.success_rate * seen.attempts)} of {seen.attempts}"
