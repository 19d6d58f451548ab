"""Where progress goes: a live block on a terminal, plain lines everywhere else."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from zeroloop.cli.play.progress import Progress

REFRESHES_PER_S = 4


class Screen(Protocol):
    """Shows lines that stay."""

    def say(self, line: str, *, warning: bool = False) -> None:
        """Show a line that stays."""
        ...


class PlainScreen:
    """Lines alone, for logs and pipes."""

    def say(self, line: str, *, warning: bool = False) -> None:
        """Show a line that stays."""
        click.echo(f"warning: {line}" if warning else line)


class LiveScreen:
    """Lines that stay above the live block."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str, *, warning: bool = False) -> None:
        """Show a line that stays."""
        style = "yellow" if warning else ""
        self._console.print(Text(line, style=style), soft_wrap=True)


@contextmanager
def screen(progress: Progress, console: Console | None = None) -> Generator[Screen]:
    """The screen that fits where this process writes to; it shows `progress` while it can."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        yield PlainScreen()
        return
    with Live(
        get_renderable=lambda: block(progress, time.monotonic()),
        console=console,
        refresh_per_second=REFRESHES_PER_S,
        transient=True,
    ):
        yield LiveScreen(console)


def block(progress: Progress, now_s: float) -> RenderableType:
    """The live block, coloured."""
    lines = progress.lines(now_s)
    text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    if lines:
        text.stylize("bold", 0, lines[0].find("  "))
    text.highlight_regex(r"█+", "cyan")
    text.highlight_regex(r"░+", "bright_black")
    text.highlight_regex(r"\b(?:proposals|solver|newest)\b", "bright_black")
    return text
