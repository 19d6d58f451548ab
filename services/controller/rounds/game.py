"""What every step of a run has in common."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from services.controller.options import PlayOptions
from services.controller.ports import Buffer, Inference, Reward
from services.controller.rounds.asking import Patience
from services.controller.rounds.dice import derive
from services.controller.rounds.meter import Meter
from zeroloop.core.programs import normalised
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Task

DOMAIN = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What verified a task."""

    validator: str = ""
    image_digest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """A task for evaluation, with the name that pairs its two answers."""

    name: str
    task: Task


@dataclass(frozen=True, kw_only=True)
class Game:
    """One run: its settings, and the services that play it."""

    run: str
    seed: int
    algorithm: AlgorithmSettings
    play: PlayOptions
    inference: Inference
    reward: Reward
    buffer: Buffer
    meter: Meter
    prompt_tokens_max: int
    """Longest prompt that leaves the model room for a response."""

    provenance: Provenance = field(default_factory=Provenance)
    heldout: Sequence[HeldOut] = ()
    generate_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    """Bounds Generate calls in flight over all stages."""

    def is_held_out(self, task: Task) -> bool:
        """Whether a task's program is kept for evaluation, which must not be trained for.

        Its proposer has earned what it earned, but nobody learns to solve it.
        """
        return bool(self.heldout) and normalised(task.program) in self._heldout_programs

    @cached_property
    def _heldout_programs(self) -> frozenset[str]:
        return frozenset(normalised(heldout.task.program) for heldout in self.heldout)

    def dice(self, *purpose: str | int) -> int:
        """The seed for one purpose within this run."""
        return derive(self.seed, *purpose)

    def patience(self) -> Patience:
        """How long a stage waits for a service that is down."""
        return Patience(self.play.limits.unavailable_s)


@dataclass(frozen=True, slots=True)
class Turn:
    """The round that is played."""

    round: int
    weights_version: int
    """What inference serves in it."""
