"""`python -m services.inference`: serve a model, from vLLM or simulated."""

import os
import sys
import threading
from contextlib import AbstractAsyncContextManager

PARENT_VARIABLE = "ZEROLOOP_ENGINE_PARENT_PID"


def main() -> int:
    """Run the service until it is told to stop; return the exit code."""
    import grpc.aio

    from services._server import Health, run_service
    from services.inference.application import inference
    from services.inference.config import InferenceSettings

    def application(
        settings: InferenceSettings, server: grpc.aio.Server, health: Health
    ) -> AbstractAsyncContextManager[None]:
        return inference(settings, server, health, os.environ)

    os.environ[PARENT_VARIABLE] = str(os.getpid())
    return run_service("inference", InferenceSettings, application)


def leave(code: int) -> None:
    """Exit. An engine that is still being started has a thread that nothing can interrupt."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.name == "engine" for thread in threading.enumerate()):
        os._exit(code)
    raise SystemExit(code)


if __name__ == "__main__":
    # Python imports the main module again in the processes that it spawns, but not one whose
    # name ends in `.__main__`. Without a spec it goes by the file, see below.
    __spec__ = None
    leave(main())
elif __name__ == "__mp_main__":
    # A process of vLLM, before anything else happens in it.
    from services.inference.orphans import end_when_orphaned

    end_when_orphaned(int(os.environ.get(PARENT_VARIABLE, os.getppid())))
    os.environ[PARENT_VARIABLE] = str(os.getpid())
