"""`python -m services.controller.check_round`: play one round through the platform's own API.

`helm test` runs it. It needs the controller's address and a token, and prints what it sees;
its exit code is 0 only if the round was played, trained and rolled out.
"""

import argparse
import asyncio
import os
import sys
import uuid

import zeroloop
from zeroloop.core.runs import EventType, Phase

TARGET = "ZEROLOOP_CONTROLLER_TARGET"


def main() -> int:
    """Play; return the exit code."""
    arguments = _parser().parse_args()
    target = os.environ.get(TARGET, "")
    if not target:
        print(f"{TARGET} is not set: the controller's address is not known", file=sys.stderr)
        return 64
    try:
        return asyncio.run(check(target, arguments))
    except zeroloop.Error as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1


async def check(target: str, arguments: argparse.Namespace) -> int:
    """Create a run, follow it to its end and say how it went."""
    async with zeroloop.aio.connect(target) as client:
        run = await client.runs.create(
            model=arguments.model,
            preset=arguments.preset,
            rounds=arguments.rounds,
            name=f"helm-test-{uuid.uuid4().hex[:8]}",
            settings={"evaluate.enabled": False},
        )
        print(f"run {run.name}", flush=True)
        async for event in run.watch():
            if event.type is not EventType.PROGRESS and event.message:
                print(f"  {event.type.value:<10} {event.message}", flush=True)
        await run.refresh()
    status = run.value.status
    print(f"{run.name}: {status.phase.value}, {status.tasks} tasks, v{status.weights_version}")
    played = status.phase is Phase.COMPLETED and status.weights_version == arguments.rounds
    return 0 if played else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.controller.check_round", description=__doc__
    )
    parser.add_argument("--model", required=True, help="folder as the platform's pods see it")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--rounds", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
