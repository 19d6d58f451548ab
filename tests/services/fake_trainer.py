"""`python -m tests.services.fake_trainer`: publishes weights for each batch, without torch.

It keeps the trainer's promises: it leases the oldest batch, publishes before it
acknowledges, and goes on after a crash where the registry says. Unknown flags are ignored.
It ends well with `--last-round`. It dies once between the two in the round that `DIES_IN_ROUND`
names, ends at its first batch with the words of `ENDS_SAYING`, and with `IS_IDLE` ends well
without having done anything.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from services._server.parent import end_with_parent
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.client.token import read_token
from zeroloop.core import figures
from zeroloop.core.batches import Weights
from zeroloop.errors import NotFoundError, UnavailableError
from zeroloop.weights_folder import building, seal, verify

LEASE_S = 3.0
DIES_IN_ROUND = "FAKE_TRAINER_DIES_IN_ROUND"
ENDS_SAYING = "FAKE_TRAINER_ENDS_SAYING"
IS_IDLE = "FAKE_TRAINER_IS_IDLE"


async def main(flags: argparse.Namespace) -> None:
    """Train up to the last round, if there is one."""
    if IS_IDLE in os.environ:
        return
    token = read_token(flags.token_file)
    async with open_channel(flags.buffer, token=token) as channel:
        buffer = BufferClient(channel)
        while True:
            try:
                await serve(buffer, flags)
                break
            except UnavailableError:
                await asyncio.sleep(0.1)


async def serve(buffer: BufferClient, flags: argparse.Namespace) -> None:
    """Publish the base, then a version for each batch."""
    try:
        await buffer.weights.get(flags.run, 0)
    except NotFoundError:
        await publish(buffer, flags, 0)
    flags.ready_file.write_text("0")
    while True:
        leased = await buffer.batches.lease(
            flags.run, f"fake-{os.getpid()}", lease_s=LEASE_S, wait_s=5
        )
        if leased is None:
            continue
        if words := os.environ.get(ENDS_SAYING):
            print(f"zeroloop trainer: {words}", file=sys.stderr)
            sys.exit(os.EX_TEMPFAIL)
        sequences = 0
        _, stream = await buffer.batches.get(flags.run, leased.batch.round)
        async for _ in stream:
            sequences += 1
        made = await publish(buffer, flags, leased.batch.round)
        if made and os.environ.get(DIES_IN_ROUND) == str(leased.batch.round):
            os.kill(os.getpid(), signal.SIGKILL)
        found = {figures.LOSS: 0.5, figures.STEP_S: 0.01, figures.SEQUENCES: float(sequences)}
        await buffer.batches.ack(leased.lease_token, metrics=found)
        if leased.batch.round == flags.last_round:
            return


async def publish(buffer: BufferClient, flags: argparse.Namespace, version: int) -> bool:
    """Write and register a version, the same bytes every time; False if it was there."""
    final = flags.weights_dir / str(version)
    make = not final.exists()
    if make:
        with building(final) as folder:
            (folder / "config.json").write_text(f'{{"version": {version}}}\n')
            digest = seal(
                folder, version=version, parent=version - 1 if version else None, dtype="float32"
            )
    else:
        digest = verify(final).digest
    await buffer.weights.publish(
        Weights(run=flags.run, version=version, uri=str(final), manifest_digest=digest)
    )
    return make


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run")
    parser.add_argument("--buffer")
    parser.add_argument("--last-round", type=int)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--ready-file", type=Path)
    end_with_parent(os.getppid())
    asyncio.run(main(parser.parse_known_args()[0]))
