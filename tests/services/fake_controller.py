"""Stands in for `python -m services.controller`: plays a recorded run, or hangs in it.

What it should do comes from the environment: FAKE_MODE is `play`, `hang`, `deaf` (hangs and
ignores SIGTERM), `die` (in the middle) or `refuse` (before it listens).
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.sdk.fake_platform import FakeController, FakePlatform
from tests.unit.sdk.recorded_run import recorded_run
from zeroloop.client import _controller_wire
from zeroloop.controller.v1 import controller_pb2 as cpb
from zeroloop.core.runs import Phase


class Slow(FakeController):
    """Plays one round and then stands still."""

    async def WatchRun(self, request: Any, context: Any) -> Any:
        run = self.runs[request.name]
        playing = replace(
            run, status=replace(run.status, phase=Phase.PLAYING, round=1, stage="estimate")
        )
        yield cpb.WatchRunResponse(run=_controller_wire.run_to_pb(playing))
        if os.environ["FAKE_MODE"] == "die":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(9)
        await asyncio.sleep(3600)


def main() -> None:
    mode = os.environ["FAKE_MODE"]
    if mode == "refuse":
        sys.exit("zeroloop controller: port 1 is in use")
    done = threading.Event()
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: done.set())
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    arguments |= {k: v for k, v in zip(sys.argv[1:], sys.argv[2:], strict=False) if k[:2] == "--"}
    platform = FakePlatform(recorded_run(rounds=3))
    if mode != "play":
        platform.controller = Slow(platform)
    # A service of the run: it must not outlive the session either.
    service = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["FAKE_PIDS"]).write_text(f"{os.getpid()} {service.pid}")
    with platform:
        Path(arguments["--address-file"]).write_text(platform.address)
        while not done.wait(0.05):
            pass
        asked = [message.name for message in platform.controller.created]
        Path(os.environ["FAKE_PIDS"] + ".created").write_text(" ".join(asked))
    service.kill()
    service.wait()


if __name__ == "__main__":
    main()
