"""`python -m trainer.launch`: starts torchrun and ends with the trainer's own exit code.

torchrun ends with 1 whatever its workers returned, so it runs inside this process, where
each worker's exit code is known. Processes on several nodes come from torchrun's own
variables: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from types import FrameType

import psutil

from services._server.parent import end_with_parent
from trainer.config import RUNTIME_ENVIRONMENT, TrainerSettings, load_trainer_settings
from trainer.exits import ExitCode, exit_code_of, explain
from trainer.model_folder import HUB_SCHEME, resolve_model
from zeroloop.errors import UnavailableError

SHUTDOWN_S = 5
"""How long the other ranks may go on once one has failed; there is nothing left to save."""

MASTER_S = 300
"""How long the node of rank 0 may take to get a name, images to be pulled included."""

MASTER_POLL_S = 0.5

MONITOR_S = 0.2
"""How often torchrun looks whether a rank has ended."""


def main() -> int:
    """Start one worker per rank of this node; return the exit code of the first that failed."""
    parent_pid = os.getppid()
    signal.signal(signal.SIGTERM, _forward)
    signal.signal(signal.SIGINT, _forward)
    try:
        settings = load_trainer_settings(sys.argv[1:], os.environ)
        if settings.exit_with_parent:
            end_with_parent(parent_pid)
        _prepare_environment(settings)
        wait_for_master(os.environ)
        # Found here it is found at once, and not after torch is loaded.
        resolve_model(settings.model)
        return _run(torchrun_arguments(settings, sys.argv[1:]))
    except Exception as error:  # noqa: BLE001  the boundary
        print(f"zeroloop trainer: {explain(error)}", file=sys.stderr)
        return int(exit_code_of(error) or 1)


def torchrun_arguments(settings: TrainerSettings, arguments: Iterable[str]) -> list[str]:
    """Arguments for torchrun: its own, then the trainer's."""
    return [
        f"--nproc-per-node={settings.ranks}",
        f"--shutdown-timeout={SHUTDOWN_S}",
        f"--monitor-interval={MONITOR_S}",
        # SIGTERM is ours to forward: torchrun would kill ranks that still save.
        "--signals-to-handle=SIGQUIT",
        "--module",
        # Else argparse would take our flags for abbreviations of torchrun's.
        "--",
        "trainer",
        *arguments,
    ]


def wait_for_master(environ: Mapping[str, str]) -> None:
    """Wait until the name of rank 0's node is known: in a cluster it appears with its pod.

    Raises:
        UnavailableError: It does not appear in time.
    """
    master = environ.get("PET_MASTER_ADDR", "")
    if not master or environ.get("PET_NNODES", "1") == "1":
        return
    until_s = time.monotonic() + MASTER_S
    while True:
        try:
            socket.getaddrinfo(master, None)
        except OSError as error:
            if time.monotonic() > until_s:
                message = f"PET_MASTER_ADDR: {master} has no address after {MASTER_S} s: {error}"
                raise UnavailableError(message) from error
            time.sleep(MASTER_POLL_S)
        else:
            return


def code_of(exit_codes: Iterable[int]) -> int:
    """The exit code for all ranks from those of the ranks that failed.

    A rank that lost its peers says so (75), so any other code names the cause. A rank that a
    signal killed counts as the shell counts it: 137 for SIGKILL.
    """
    codes = [128 - code if code < 0 else code for code in exit_codes]
    causes = [code for code in codes if code != ExitCode.RETRIABLE]
    return (causes or codes or [1])[0]


def _run(arguments: list[str]) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        failures = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        return code_of(failure.exitcode for failure in failures)
    return int(ExitCode.DONE)


def _prepare_environment(settings: TrainerSettings) -> None:
    for name, value in RUNTIME_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    threads = settings.threads or max(1, (os.cpu_count() or 1) // settings.ranks)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if not settings.model.startswith(HUB_SCHEME):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _forward(_number: int, _frame: FrameType | None) -> None:
    """Hand a request to stop to the ranks, which save and end; without any, end at once."""
    ranks = psutil.Process().children()
    if not ranks:
        sys.exit(int(ExitCode.STOPPED))
    for rank in ranks:
        rank.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
