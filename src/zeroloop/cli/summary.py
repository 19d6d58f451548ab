"""`zeroloop summary`: what came of a run, in figures."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from zeroloop.cli.durations import short
from zeroloop.cli.facts import RunFacts, gather
from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.source import Source, Target, read, run_options
from zeroloop.core import figures
from zeroloop.core.heldout import Change, Interval
from zeroloop.core.tasks import Kind


@click.command()
@run_options
@json_option
@click.pass_context
def summary(
    context: click.Context, run: str | None, address: str | None, runs_dir: Path, *, as_json: bool
) -> None:
    """What came of a run: tasks, accuracy, held-out change, cost.

    RUN is a folder or name; without it the latest run is meant. Held-out figures are means
    over fixed tasks that the run never trained on, with the difference task by task and its
    95 % interval (Agresti and Min's normal approximation).

    \b
    Example:
      zeroloop summary runs/latest --json | jq .heldout.deduction
    """

    async def ask(source: Source) -> RunFacts:
        return await gather(source.client, source.run, await source.events())

    facts = read(Target(run, address, runs_dir, context.obj), ask)
    figures_by_name = summarise(facts)
    if as_json:
        print_json(figures_by_name)
    else:
        click.echo("\n".join(told(figures_by_name)))


def summarise(facts: RunFacts) -> dict[str, Any]:
    """Return the figures of a run by name. Ratios in [0, 1], durations in seconds.

    Stages that overlap count their whole time each, so theirs can add up to more than the
    run's.
    """
    played = facts.played
    return {
        "run": facts.run.name,
        "phase": facts.run.status.phase,
        "model": facts.run.spec.model,
        "preset": facts.run.spec.preset or "paper",
        "seed": facts.run.spec.seed,
        "rounds": len(played),
        "weights_version": facts.weights_version,
        "tasks_admitted": {
            **{kind: sum(t.task.kind is kind for t in facts.invented) for kind in Kind},
            "total": len(facts.invented),
            "seeds": len(facts.tasks) - len(facts.invented),
        },
        "distinct_programs": len({task.task.source for task in facts.invented}),
        "validity": _mean(facts, figures.VALIDITY),
        "learnable": _mean(facts, figures.LEARNABLE),
        "solver_accuracy": {
            **{kind: _mean(facts, figures.SOLVER_ACCURACY, kind) for kind in Kind},
            "total": _mean(facts, figures.SOLVER_ACCURACY),
        },
        "heldout": {kind: _change(change) for kind, change in facts.changes().items()},
        "heldout_rounds": [evaluation.round for evaluation in facts.evaluations],
        "tokens": sum(one.tokens for one in facts.rounds),
        "executions": dict(sum((one.runs for one in facts.rounds), Counter[str]())),
        "seconds_per_stage": _seconds(facts),
        "idle_ratio": _idle(facts),
        "seconds": duration_s(facts),
    }


def duration_s(facts: RunFacts) -> float:
    """Seconds from the run's start to its end, or to its newest round."""
    status = facts.run.status
    start = status.started_at or facts.run.created_at
    ends = [r.round.committed_at for r in facts.rounds if r.round.committed_at is not None]
    end = status.ended_at or max(ends, default=start)
    return max((end - start).total_seconds(), 0.0)


def told(summary: dict[str, Any]) -> list[str]:
    """Return the summary as lines for people."""
    tasks, accuracy = summary["tasks_admitted"], summary["solver_accuracy"]
    version, seconds = summary["weights_version"], short(summary["seconds"])
    lines = [
        f"run        {summary['run']}: {summary['phase']}, {summary['rounds']} rounds, {seconds}",
        f"weights    v{version}",
        f"model      {summary['model']}, preset {summary['preset']}, seed {summary['seed']}",
        f"tasks      {tasks['total']} admitted ({_by_kind(tasks)}), {tasks['seeds']} seeds",
        f"programs   {summary['distinct_programs']} distinct",
        f"proposals  {_percent(summary['validity'])} valid",
        f"learnable  {_percent(summary['learnable'])} of the valid ones",
        f"solver     {_by_kind({k: _percent(v) for k, v in accuracy.items()})}",
    ]
    for kind, change in summary["heldout"].items():
        before, after, difference = change["before"], change["after"], change["difference"]
        lines.append(
            f"held-out   {kind} {_percent(before['mean'], 1)} -> {_percent(after['mean'], 1)} "
            f"({difference['mean'] * 100:+.1f}, 95 % interval {difference['low'] * 100:+.1f} to "
            f"{difference['high'] * 100:+.1f}, {change['tasks']} tasks)"
        )
    runs = ", ".join(f"{count} {status}" for status, count in summary["executions"].items())
    lines.append(f"cost       {summary['tokens']:,} tokens, runs: {runs or 'none'}")
    stages = summary["seconds_per_stage"].items()
    lines.append("time       " + ", ".join(f"{stage} {short(value)}" for stage, value in stages))
    return lines


def _mean(facts: RunFacts, name: str, kind: Kind | None = None) -> float | None:
    values = [value for one in facts.played if (value := one.of(name, kind)) is not None]
    return sum(values) / len(values) if values else None


def _idle(facts: RunFacts) -> float | None:
    """Mean share of a round in which neither engine, sandbox nor optimiser worked."""
    known = [ratio for one in facts.played if (ratio := one.idle_ratio) is not None]
    return sum(known) / len(known) if known else None


def _seconds(facts: RunFacts) -> dict[str, float]:
    total: Counter[str] = Counter()
    for one in facts.rounds:
        total.update(one.stage_seconds)
    return dict(total)


def _change(change: Change) -> dict[str, Any]:
    return {
        "before": _interval(change.before),
        "after": _interval(change.after),
        "difference": _interval(change.difference),
        "significant": change.difference.excludes_zero,
        "tasks": change.difference.items,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _by_kind(values: dict[str, Any]) -> str:
    return ", ".join(f"{kind} {values[kind]}" for kind in Kind)


def _percent(ratio: float | None, digits: int = 0) -> str:
    return "unknown" if ratio is None else f"{ratio * 100:.{digits}f} %"
