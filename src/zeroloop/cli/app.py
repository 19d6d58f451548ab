"""The group of commands, loaded one by one, and the boundary where errors become one line."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from zeroloop import __version__
from zeroloop.errors import ConfigError, InvalidRequestError, ZeroloopError

COMMANDS = {
    "play": ("zeroloop.cli.play.command", "play"),
    "doctor": ("zeroloop.cli.doctor", "doctor"),
    "runs": ("zeroloop.cli.runs", "runs"),
    "rounds": ("zeroloop.cli.rounds", "rounds"),
    "tasks": ("zeroloop.cli.tasks", "tasks"),
    "weights": ("zeroloop.cli.weights", "weights"),
    "exec": ("zeroloop.cli.exec", "execute"),
    "generate": ("zeroloop.cli.generate", "generate"),
    "trace": ("zeroloop.cli.trace", "trace"),
    "report": ("zeroloop.cli.report.command", "report"),
    "summary": ("zeroloop.cli.summary", "summary"),
    "prune": ("zeroloop.cli.prune", "prune"),
}
"""In the order of the help: where each command lives."""

EXIT_FAILED = 1
EXIT_CONFIG = 64
"""A setting or an input is wrong; the same as the services' code."""

EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports the module of a command when it is used or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        return getattr(import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zeroloop")
def zeroloop() -> None:
    """Let a language model teach itself: Absolute Zero self-play.

    \b
    Start here:
      zeroloop doctor            is everything here that a run needs?
      zeroloop play              play rounds on this machine
      zeroloop summary           what came of the latest run
      zeroloop tasks list        what it invented
    """


def run(arguments: list[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command line; return the exit code.

    Args:
        arguments: Default: the process's.
        environ: Default: the process's. Commands find it as the context's object.
    """
    # gRPC would write its own lines between ours; what matters of them is in our errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code: Any = zeroloop.main(
            arguments,
            prog_name="zeroloop",
            standalone_mode=False,
            obj=os.environ if environ is None else environ,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ConfigError, InvalidRequestError) as error:
        _complain(error)
        return EXIT_CONFIG
    except ZeroloopError as error:
        _complain(error)
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough; nothing may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A full disk, a folder without permission: the system's words and the place say it.
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _complain(error: ZeroloopError | str) -> None:
    click.echo(f"zeroloop: {error}", err=True)
