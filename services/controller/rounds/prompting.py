"""Prompts that fit: rendering them, measuring them, drawing again those that are too long."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from services.controller.rounds.asking import patiently
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.generating import generate
from services.controller.rounds.meter import Tally
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.judging import PromptSpec

SPECS_MAX = 256
"""Prompts rendered in one call."""

SPECIAL_TOKENS_MAX = 8
"""What a tokenizer may add to a text, at most."""


class HasSpec(Protocol):
    """Whatever a prompt can be rendered from."""

    @property
    def spec(self) -> PromptSpec:
        """What the prompt is about."""
        ...


D = TypeVar("D", bound=HasSpec)

Draw = Callable[[int, Sequence[int]], Awaitable[Sequence[D]]]
"""Takes the attempt, from 0, and the places to fill; returns a draw for each place."""


@dataclass(frozen=True, slots=True)
class Rendered(Generic[D]):
    """A draw and its prompt."""

    draw: D
    text: str = field(repr=False)


async def render(game: Game, specs: Sequence[PromptSpec]) -> list[str]:
    """Return the prompt of each spec."""
    texts: list[str] = []
    patience = game.patience()
    for start in range(0, len(specs), SPECS_MAX):
        part = specs[start : start + SPECS_MAX]
        texts += await patiently(lambda part=part: game.reward.build_prompts(part), patience)
    return texts


async def are_short(game: Game, turn: Turn, texts: Sequence[str]) -> list[bool]:
    """Say of each prompt whether it is at most `game.prompt_tokens_max` tokens long.

    No tokenizer makes more tokens than bytes, so most prompts need no look. Of the others
    the engine says how long they are: it reads them and generates one token, which its
    prefix cache makes up for.
    """
    limit = game.prompt_tokens_max
    short = [len(text.encode()) + SPECIAL_TOKENS_MAX <= limit for text in texts]
    doubtful = [index for index, is_short in enumerate(short) if not is_short]
    # A token is hardly ever longer than this; do not trouble the engine with the hopeless.
    measured = [index for index in doubtful if len(texts[index]) <= 16 * limit]

    async def note(position: int, completion: Completion) -> None:
        short[measured[position]] = len(completion.prompt_token_ids) <= limit

    prompts = [Prompt(text=texts[index], seed=0) for index in measured]
    await generate(game, turn, prompts, Sampling(max_tokens=1), tally=Tally(), deliver=note)
    return short


async def fitting(game: Game, turn: Turn, count: int, draw: Draw[D]) -> list[Rendered[D]]:
    """Draw `count` prompts, drawing again, a bounded number of times, those that are too long.

    Places that stay empty take over prompts of the others, in turn.

    Returns:
        `count` prompts, or none if not one of them fits.
    """
    filled: dict[int, Rendered[D]] = {}
    places = list(range(count))
    for attempt in range(game.algorithm.resample_attempts_max):
        draws = await draw(attempt, places)
        texts = await render(game, [d.spec for d in draws])
        short = await are_short(game, turn, texts)
        for place, drawn, text, is_short in zip(places, draws, texts, short, strict=False):
            if is_short:
                filled[place] = Rendered(drawn, text)
        places = [place for place in places if place not in filled]
        if not places or not draws:
            break
    accepted = [filled[place] for place in sorted(filled)]
    if not accepted:
        return []
    others = iter(range(count))
    return [filled.get(place) or accepted[next(others) % len(accepted)] for place in range(count)]
