"""`zeroloop generate`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from zeroloop import aio
from zeroloop.cli.local import local_service
from zeroloop.cli.output import json_option, print_json
from zeroloop.cli.ready import ready
from zeroloop.cli.runs import address_option
from zeroloop.core.generation import Completion
from zeroloop.errors import ConfigError

PACKAGES = ("vllm", "transformers")


@dataclass(frozen=True, slots=True)
class _Asked:
    prompts: tuple[str, ...]
    max_tokens: int
    n: int
    temperature: float
    seed: int | None
    run: str


@click.command()
@click.argument("prompts", nargs=-1, required=True)
@click.option("--max-tokens", type=int, default=256, show_default=True)
@click.option("-n", "n", type=int, default=1, show_default=True, help="Completions per prompt.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="0 is greedy.")
@click.option("--seed", type=int, help="Makes the samples reproducible.")
@click.option("--run", default="", help="Use the model of this run; with --address.")
@click.option("--model", metavar="FOLDER", help="Serve this model on this machine instead.")
@address_option
@json_option
@click.pass_context
def generate(
    context: click.Context,
    prompts: tuple[str, ...],
    max_tokens: int,
    n: int,
    temperature: float,
    seed: int | None,
    run: str,
    model: str | None,
    address: str | None,
    *,
    as_json: bool,
) -> None:
    """Let a model complete prompts.

    With --address it is the one that is learning there, at its present weights. With --model
    an engine is started on this machine for the occasion, which takes some seconds.

    \b
    Example:
      zeroloop generate 'def f(x):' --model models/seedling --max-tokens 40
    """
    if bool(address) == bool(model):
        raise ConfigError("say which model: either --address of a controller, or --model FOLDER")
    asked = _Asked(prompts, max_tokens, n, temperature, seed, run)
    if model:
        groups = asyncio.run(_locally(asked, model, context.obj))
    else:
        groups = asyncio.run(_remotely(asked, address or ""))
    if as_json:
        print_json(groups)
        return
    for group in groups:
        for completion in group:
            click.echo(completion.text)


async def _remotely(asked: _Asked, address: str) -> list[list[Completion]]:
    async with aio.connect(address) as client:
        return await _ask(client, asked)


async def _locally(asked: _Asked, model: str, environ: Mapping[str, str]) -> list[list[Completion]]:
    known = model if model.startswith("hf://") else str(Path(model).resolve())
    flags = ["--model", known]
    async with local_service("inference", flags, environ, PACKAGES) as (client, child):
        return await ready(child, lambda: _ask(client, asked))


async def _ask(client: aio.Client, asked: _Asked) -> list[list[Completion]]:
    return await client.generate(
        asked.prompts,
        max_tokens=asked.max_tokens,
        n=asked.n,
        temperature=asked.temperature,
        seed=asked.seed,
        run=asked.run,
    )
