"""`python -m tests.services.round_player FOLDER`: plays rounds against services by address.

A process of its own, so that a test can measure its memory and kill it. Reads `player.json`
in the folder, writes `played.json` when it is done.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from services.controller.connections import connect
from services.controller.options import settings_of
from services.controller.rounds.engine import RoundEngine, missing_steps
from services.controller.rounds.game import Game, Turn
from services.controller.rounds.meter import Meter
from services.controller.rounds.tracing import RoundTrace
from zeroloop.client.channel import Access
from zeroloop.client.token import read_token
from zeroloop.core.runs import Endpoints, RunSpec


async def play(folder: Path) -> None:
    """Play the rounds that are asked for, resuming what is there."""
    asked: dict[str, Any] = json.loads((folder / "player.json").read_text())
    spec = RunSpec(model="m", rounds=1, preset=asked["preset"], settings=asked["settings"])
    settings = settings_of(spec)
    endpoints = Endpoints(**asked["endpoints"])
    meter = Meter(time.monotonic)
    async with connect(
        endpoints, settings.algorithm, Access(read_token(folder / "token"))
    ) as connections:
        game = Game(
            run=asked["run"],
            seed=7,
            algorithm=settings.algorithm,
            play=settings.play,
            inference=connections.inference,
            reward=connections.reward,
            buffer=connections.buffer,
            meter=meter,
            prompt_tokens_max=settings.algorithm.prompt_tokens_max,
            provenance=connections.provenance,
        )
        engine = RoundEngine(game, RoundTrace(game.run), lambda *_: None)
        for index in asked["rounds"]:
            while steps := await missing_steps(game, index):
                await engine.play(Turn(index, 0), steps[0])
    tallies = {
        step: {"done": t.done, "tokens": t.tokens, "runs": t.runs.total()}
        for step, t in meter.tallies.items()
    }
    (folder / "played.json").write_text(json.dumps(tallies))


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1])))
