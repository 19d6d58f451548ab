"""Generating: many prompts, a bounded number of calls, every sample exactly once."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from services.controller.rounds.asking import ask_each
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.meter import Tally
from services.controller.rounds.streams import together
from zeroloop.core.generation import Completion, Prompt, Sampling

CALL_BYTES_MAX = 8 * 1024 * 1024
"""Prompt text of one call; far below the limit of a message."""

Deliver = Callable[[int, Completion], Awaitable[None]]
"""Takes the index of a prompt and one of its completions."""


@dataclass(frozen=True, slots=True)
class _Asked:
    index: int
    prompt: Prompt


async def generate(
    game: Game,
    turn: Turn,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    tally: Tally,
    deliver: Deliver,
) -> None:
    """Complete every prompt `sampling.n` times; deliver each completion as it finishes.

    Sample 0 of a prompt carries the prompt's token ids; it may come after other samples.

    Raises:
        UnavailableError: Inference stayed away for too long.
    """

    async def call(part: Sequence[_Asked]) -> None:
        async with game.generate_slots:
            await _generate_part(game, turn, part, sampling, tally=tally, deliver=deliver)

    asked = [_Asked(index, prompt) for index, prompt in enumerate(prompts)]
    async with together() as group:
        for part in _parts(asked, game.play.limits.generate_prompts_max):
            group.create_task(call(part))


async def _generate_part(
    game: Game,
    turn: Turn,
    part: Sequence[_Asked],
    sampling: Sampling,
    *,
    tally: Tally,
    deliver: Deliver,
) -> None:
    missing = {asked.index: set(range(sampling.n)) for asked in part}

    async def call(pending: Sequence[_Asked]) -> AsyncGenerator[tuple[int, Completion]]:
        prompts = [asked.prompt for asked in pending]
        asked = game.inference.generate(prompts, sampling, min_weights_version=turn.weights_version)
        with game.meter.engine():
            async with aclosing(asked) as completions:
                async for completion in completions:
                    index = pending[completion.prompt_index].index
                    # A sample comes again where a call was repeated.
                    if completion.sample_index in missing[index]:
                        missing[index].remove(completion.sample_index)
                        _count(tally, completion)
                        await deliver(index, completion)
                    yield index, completion

    def answered(answer: tuple[int, Completion]) -> int | None:
        index, _ = answer
        return None if missing[index] else index

    pending = {asked.index: asked for asked in part}
    await ask_each(pending, call, answered=answered, patience=game.patience())


def _count(tally: Tally, completion: Completion) -> None:
    tally.tokens += len(completion.token_ids)
    tally.prompt_tokens += len(completion.prompt_token_ids)


def _parts(asked: Sequence[_Asked], prompts_max: int) -> Iterator[Sequence[_Asked]]:
    part: list[_Asked] = []
    part_bytes = 0
    for item in asked:
        item_bytes = 4 * len(item.prompt.text)
        if part and (len(part) >= prompts_max or part_bytes + item_bytes > CALL_BYTES_MAX):
            yield part
            part, part_bytes = [], 0
        part.append(item)
        part_bytes += item_bytes
    if part:
        yield part
