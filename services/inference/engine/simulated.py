"""An engine without a model: a hand-written policy behind the interface of the real one.

For load and fault tests of everything around it, training included. A token is a byte of
UTF-8, so that any text has an exact number of tokens; log-probabilities are made up, but
consistently, so that scoring a completion gives the values it was drawn with.
"""

import asyncio
import hashlib
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.inference.engine import policy
from services.inference.engine.base import Drawn, EngineInfo
from services.inference.engine.simulated_tokens import VOCABULARY_TOKENS, ByteTokens
from zeroloop import __version__
from zeroloop.core.generation import FinishReason, Sampling, WeightsSpan
from zeroloop.errors import InternalError, UnavailableError

FILLER = "Let me look at this once more, step by step. "

Policy: TypeAlias = Callable[[str, float, random.Random], str]
"""From a prompt, a skill (0..1) and dice to a response."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedSettings:
    """How the simulated engine behaves; see `InferenceSettings` for each field."""

    skill: float = 0.5
    context_tokens: int = 32_768
    vocabulary_tokens: int = VOCABULARY_TOKENS
    """Of the model that it stands in for: what it writes may be trained on."""

    sequences_concurrent_max: int = 256
    response_tokens_min: int = 0
    response_tokens_max: int = 0
    tokens_per_s: float = 0.0
    dies_after: int = 0


class SimulatedEngine:
    """An `Engine` that asks a policy."""

    def __init__(
        self,
        settings: SimulatedSettings,
        weights_version: int = 0,
        respond: Policy = policy.respond,
    ) -> None:
        self._settings = settings
        self._weights_version = weights_version
        self._respond = respond
        self._tokens = ByteTokens(settings.vocabulary_tokens)
        self._slots = asyncio.Semaphore(settings.sequences_concurrent_max)
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._drawn = 0
        self._asleep = False
        self.broken_folders: set[str] = set()
        """Folders whose weights do not load; a test adds to them."""

        self._info = EngineInfo(
            engine="simulated",
            engine_version=__version__,
            dtype="float32",
            context_tokens=settings.context_tokens,
            vocabulary_tokens=self._tokens.vocabulary_tokens,
            sequences_concurrent_max=settings.sequences_concurrent_max,
            eos_token_ids=(self._tokens.end,),
            tokenizer_digest=hashlib.sha256(b"utf-8").hexdigest(),
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        return self._info

    def kill(self, why: str = "it was told to die") -> None:
        """Die now."""
        if not self._death.done():
            self._death.set_result(why)

    def encode(self, text: str) -> list[int]:
        """Return the bytes of `text`."""
        return self._tokens.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the bytes."""
        return self._tokens.decode(token_ids)

    async def draw(self, token_ids: Sequence[int], sampling: Sampling, seed: int | None) -> Drawn:
        """Return the policy's response, cut to what is allowed."""
        self._require_awake()
        prompt = self.decode(token_ids)
        dice = _dice(prompt, sampling, seed)
        response = self._padded(self._respond(prompt, self._settings.skill, dice), dice)
        tokens = [*self._tokens.encode(response), self._tokens.end]
        room = min(sampling.max_tokens, self._settings.context_tokens - len(token_ids))
        reason = FinishReason.STOP if len(tokens) <= room else FinishReason.LENGTH
        tokens = tokens[:room]
        version = self._weights_version
        await self._take_time(len(tokens))
        return Drawn(
            token_ids=array("i", tokens),
            logprobs=array("f", map(_logprob, tokens) if sampling.logprobs else ()),
            finish_reason=reason,
            weights=(WeightsSpan(version, 0, len(tokens)),),
        )

    async def score(self, token_ids: Sequence[int], prompt_tokens: int) -> Sequence[float]:
        """Return the made-up log-probabilities."""
        self._require_awake()
        return array("f", map(_logprob, token_ids[prompt_tokens:]))

    async def load_weights(self, folder: str, version: int) -> None:
        """Serve another version; the weights themselves do not matter here."""
        self._require_awake()
        if folder in self.broken_folders:
            raise InternalError(f"weights in {folder} did not load")
        self._weights_version = version

    async def sleep(self) -> None:
        """Answer nobody."""
        self._require_life()
        self._asleep = True

    async def wake(self) -> None:
        """Answer again."""
        self._require_life()
        self._asleep = False

    async def died(self) -> str:
        """Return when it was killed."""
        return await asyncio.shield(self._death)

    async def close(self) -> None:
        """Nothing to end, but calls that come later fail."""
        self.kill("it is closed")

    def _require_life(self) -> None:
        if self._death.done():
            raise UnavailableError(f"the engine died ({self._death.result()}); retry")

    def _require_awake(self) -> None:
        self._require_life()
        if self._asleep:
            raise InternalError("an engine that sleeps was asked")

    def _padded(self, response: str, dice: random.Random) -> str:
        """Lengthen the reasoning at its start to a length drawn from the settings."""
        low, high = self._settings.response_tokens_min, self._settings.response_tokens_max
        wanted = dice.randint(low, max(low, high)) if high or low else 0
        missing = wanted - len(response.encode()) - 1
        if missing <= 0:
            return response
        return (FILLER * (missing // len(FILLER) + 1))[:missing] + response

    async def _take_time(self, num_tokens: int) -> None:
        async with self._slots:
            if self._settings.tokens_per_s:
                # A death interrupts what is being generated.
                duration_s = num_tokens / self._settings.tokens_per_s
                await asyncio.wait({self._death}, timeout=duration_s)
            self._require_life()
        self._drawn += 1
        if self._drawn == self._settings.dies_after:
            self.kill(f"it was to die after {self._drawn} completions")


def _dice(prompt: str, sampling: Sampling, seed: int | None) -> random.Random:
    if sampling.temperature == 0:
        return random.Random(prompt)  # noqa: S311  no secret depends on it
    return random.Random(f"{seed} {prompt}" if seed is not None else None)  # noqa: S311


def _logprob(token: int) -> float:
    return -0.25 * (1 + token % 7)
