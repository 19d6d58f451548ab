"""`zeroloop play`."""

import asyncio
import itertools
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from zeroloop.cli.checkout import find_checkout, require_packages
from zeroloop.cli.facts import RunFacts
from zeroloop.cli.folders import LATEST, RunFolder, find_run, list_runs
from zeroloop.cli.local import SERVICE_PACKAGES
from zeroloop.cli.machine import this_machine
from zeroloop.cli.output import counted
from zeroloop.cli.play.closing import closing_lines, stopped_lines
from zeroloop.cli.play.progress import Progress
from zeroloop.cli.play.screen import screen
from zeroloop.cli.play.session import Ended, rounds_when_resumed
from zeroloop.cli.play.session import play as play_session
from zeroloop.cli.report.command import write_report
from zeroloop.cli.settings import PlaySettings, resolve, settings_file
from zeroloop.cli.source import BUFFER_PACKAGES
from zeroloop.core.presets import departures, preset
from zeroloop.core.runs import Phase
from zeroloop.errors import ConfigError, NotFoundError, ZeroloopError

ENGINE_PACKAGES = ("vllm", "torch", "deepspeed", "transformers")
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@click.command()
@click.option("--model", metavar="FOLDER", help="Hugging Face causal language model.")
@click.option("--preset", metavar="NAME", help="paper or seedling.")
@click.option("--rounds", type=int, metavar="N", help="Rounds to play in all.  [default: 14]")
@click.option("--seed", type=int, metavar="N", help="Drives every random choice.  [default: 0]")
@click.option("--name", metavar="NAME", help="Of the run; made up without it.")
@click.option("--resume", metavar="RUN", help="Go on with a run: its folder or name.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Change a setting.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read this file.  [default: zeroloop.toml, if there is one]",
)
@click.option(
    "--deterministic/--no-deterministic",
    default=None,
    help="Same seed, same machine: the same bits; a round takes about 3 % longer.",
)
@click.option("--heldout", metavar="FILE", help="Held-out tasks.  [default: the model folder's]")
@click.option("--runs-dir", metavar="FOLDER", help="Where runs are kept.  [default: runs]")
@click.pass_context
def play(
    context: click.Context,
    resume: str | None,
    pairs: tuple[str, ...],
    settings: Path | None,
    **flags: Any,
) -> int:
    """Play self-play rounds on this machine.

    Starts the services, plays rounds, trains, rolls new weights into inference, and writes
    a run folder with a report. Ctrl-C stops everything within seconds; --resume goes on.

    \b
    Settings come from flags, then ZEROLOOP_PLAY__<NAME>, then zeroloop.toml:
      [play]                        [settings]
      model = "models/seedling"     learning_rate = 1e-4
      rounds = 14                   rollouts = 8

    \b
    Examples:
      zeroloop play
      zeroloop play --rounds 30 --seed 7 --set learning_rate=3e-4
      zeroloop play --resume runs/latest --rounds 60
    """
    environ: Mapping[str, str] = context.obj
    file = settings_file(settings, environ, Path.cwd())
    wanted = resolve(flags, pairs, environ, file)
    resumed = None
    if resume is not None:
        _refuse_beside_resume(flags, pairs)
        resumed = find_run(resume, Path(wanted.runs_dir))
        wanted = replace(wanted, rounds=rounds_when_resumed(resumed, flags["rounds"]))
    checkout = find_checkout(environ)
    require_packages(*SERVICE_PACKAGES, *BUFFER_PACKAGES, *ENGINE_PACKAGES)
    if resumed is None:
        wanted = _named(_located(wanted), datetime.now(UTC).astimezone())
    _introduce(wanted, resumed)
    progress = Progress(rounds=wanted.rounds, began_s=time.monotonic())
    with screen(progress) as show:
        ended = asyncio.run(
            play_session(wanted, resumed, checkout=checkout, progress=progress, show=show)
        )
    return _close(ended, environ)


def _refuse_beside_resume(flags: Mapping[str, Any], pairs: tuple[str, ...]) -> None:
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in flags.items()
        if value is not None and name not in ("rounds", "runs_dir")
    ]
    given += ["--set"] if pairs else []
    if given:
        raise ConfigError(
            f"--resume goes on with the run's own settings, so {', '.join(given)} cannot be given; "
            "leave it out, or start a new run without --resume"
        )


def _located(wanted: PlaySettings) -> PlaySettings:
    """Make paths absolute, because services run elsewhere, and check that they exist."""
    changes: dict[str, Any] = {}
    if not wanted.model.startswith("hf://"):
        model = Path(wanted.model).resolve()
        if not (model / "config.json").is_file():
            raise ConfigError(
                f"model {wanted.model!r} is no folder of a Hugging Face model: there is no "
                f"{model / 'config.json'}. The model that ships is models/seedling in the "
                "checkout; a hub id is written hf://ORG/NAME"
            )
        changes["model"] = str(model)
    if wanted.heldout:
        heldout = Path(wanted.heldout).resolve()
        if not heldout.is_file():
            raise ConfigError(f"held-out tasks {wanted.heldout!r} are not there: no {heldout}")
        changes["heldout"] = str(heldout)
    if wanted.deterministic:
        changes["settings"] = {**wanted.settings, "deterministic": True}
    return replace(wanted, **changes)


def _named(wanted: PlaySettings, now: datetime) -> PlaySettings:
    """Give the run a name that says what and when, unless it has one."""
    if wanted.name:
        return wanted
    model = re.sub(r"[^a-z0-9]+", "-", Path(wanted.model).name.lower()).strip("-")[:20]
    base = f"{model or 'run'}-{now:%m%d-%H%M}"
    taken = {folder.name for folder in list_runs(Path(wanted.runs_dir))}
    candidates = (base if n == 1 else f"{base}-{n}" for n in itertools.count(1))
    return replace(wanted, name=next(name for name in candidates if name not in taken))


def _introduce(wanted: PlaySettings, resumed: RunFolder | None) -> None:
    click.echo(f"zeroloop play: Absolute Zero self-play ({this_machine()})")
    if resumed is not None:
        click.echo(f"  run        {resumed.name}, resumed, to round {wanted.rounds}")
        return
    click.echo(f"  model      {_relative(Path(wanted.model))}")
    set_here = ", ".join(f"{name} {value}" for name, value in wanted.settings.items())
    set_text = f"; set here: {set_here}" if set_here else ""
    name = wanted.preset_in_force
    rounds = f"{counted(wanted.rounds, 'round')}, seed {wanted.seed}"
    click.echo(f"  settings   {rounds}, preset {name}{set_text}")
    changed = departures(wanted.algorithm, preset(name))
    if changed:
        listed = ", ".join(f"{d.name} {_told(d.value)} ({_told(d.paper)})" for d in changed)
        click.echo(f"  departs    from the paper in {listed}")


def _told(value: object) -> str:
    if isinstance(value, list):
        return "+".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _close(ended: Ended, environ: Mapping[str, str]) -> int:
    shown = _shown(ended.folder)
    if ended.interrupted:
        click.echo("\n".join(stopped_lines(ended.round, ended.stage, shown)))
        return EXIT_INTERRUPTED
    facts: RunFacts | None = None
    try:
        facts = asyncio.run(write_report(ended.folder, environ))
    except NotFoundError:
        pass  # It ended before anything was stored; what comes next says why.
    except ZeroloopError as error:
        click.echo(f"warning: no report: {error}", err=True)
    if ended.phase is not Phase.COMPLETED:
        click.echo(f"zeroloop: the run is {ended.phase}: {ended.message}", err=True)
        click.echo(f"  logs       {shown}/logs", err=True)
        click.echo(f"  go on      zeroloop play --resume {shown}", err=True)
        return EXIT_FAILED
    if facts is not None:
        click.echo("\n".join(closing_lines(facts, shown, report=True)))
    return 0


def _shown(folder: RunFolder) -> str:
    """The run's folder as the user would type it: by `latest` if that is it."""
    latest = folder.path.parent / LATEST
    return str(_relative(latest if latest.resolve() == folder.path.resolve() else folder.path))


def _relative(path: Path) -> Path:
    here = Path.cwd()
    # Not resolved, or the link `latest` would become the folder that it points to.
    return path.relative_to(here) if path.is_relative_to(here) else path
