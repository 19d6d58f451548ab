"""What the steps of one round that can overlap hand to each other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from services.controller.rounds.estimating import estimate
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.proposing import propose
from services.controller.rounds.records import stored
from services.controller.rounds.solving import solve
from services.controller.rounds.sources import Sources
from services.controller.rounds.streams import Relay
from services.controller.rounds.validating import validate
from services.controller.steps import Step
from zeroloop.core.rounds import Episode, Estimate, Record, Stage, StoredVerdict

OVERLAPPING = (Step.PROPOSE, Step.VALIDATE, Step.ESTIMATE, Step.SOLVE)
"""Steps that can be played at the same time."""


class Table:
    """The items of every step, handed on as they are made or as they were stored."""

    def __init__(self, game: Game, turn: Turn) -> None:
        self._game = game
        self._turn = turn
        self._sources = Sources(game)
        self._proposals: Relay[Episode] = Relay()
        self._verdicts: Relay[StoredVerdict] = Relay()
        self._estimates: Relay[Estimate | Episode] = Relay()
        self._solutions: Relay[Episode] = Relay()

    async def load_inputs(self, steps: Sequence[Step]) -> None:
        """Fetch what `steps` read and do not make themselves."""
        inputs = {step: self._input(step) for step in steps}
        for needed in OVERLAPPING:
            if needed in inputs.values() and needed not in steps:
                relay = self._relay(needed)
                async for record in stored(self._game, self._turn, Stage(needed.value)):
                    relay.put(record)
                relay.close()

    async def work(self, step: Step) -> None:
        """Make the output of a step from that of the one before, as it comes."""
        game, turn = self._game, self._turn
        works: dict[Step, Callable[[], Awaitable[None]]] = {
            Step.PROPOSE: lambda: propose(game, turn, self._sources, self._proposals),
            Step.VALIDATE: lambda: validate(
                game, self._sources, self._proposals.reader(), self._verdicts
            ),
            Step.ESTIMATE: lambda: estimate(game, turn, self._verdicts.reader(), self._estimates),
            Step.SOLVE: lambda: solve(game, turn, self._verdicts.reader(), self._solutions),
        }
        await works[step]()
        self._relay(step).close()

    def records(self, step: Step) -> list[Record]:
        """The output of a step in the order in which it is stored."""
        return sorted(self._relay(step).items, key=_order)

    def _input(self, step: Step) -> Step | None:
        match step:
            case Step.VALIDATE:
                return Step.PROPOSE
            case Step.ESTIMATE:
                return Step.VALIDATE
            case Step.SOLVE if self._game.algorithm.same_step_tasks:
                return Step.VALIDATE
            case _:
                return None

    def _relay(self, step: Step) -> Relay[Any]:
        relays: dict[Step, Relay[Any]] = {
            Step.PROPOSE: self._proposals,
            Step.VALIDATE: self._verdicts,
            Step.ESTIMATE: self._estimates,
            Step.SOLVE: self._solutions,
        }
        return relays[step]


def _order(record: Record) -> tuple[int, int]:
    """Estimates come before the rollouts that they summarise; else by index."""
    return (0 if isinstance(record, Estimate) else 1, record.index)
