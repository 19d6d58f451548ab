"""One rank of the trainer, as torchrun starts it; users start `python -m trainer.launch`."""

import os
import sys

from services._server.parent import end_with_parent
from trainer.config import RUNTIME_ENVIRONMENT, load_trainer_settings
from trainer.exits import exit_code_of, explain
from zeroloop.errors import ConfigError

EXIT_BUG = 1
"""Not one of ours: the traceback is on standard error."""


def main() -> int:
    """Train; return the exit code of this rank."""
    # A rank without its launcher would hold the processor and the lease for nobody.
    end_with_parent(os.getppid())
    for name, value in RUNTIME_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        settings = load_trainer_settings(sys.argv[1:], os.environ)
        if "RANK" not in os.environ:
            raise ConfigError(
                "RANK is not set: start the trainer with `python -m trainer.launch`, or with "
                "torchrun"
            )
        return _train(settings)
    except Exception as error:  # noqa: BLE001  the boundary
        print(f"zeroloop trainer: {explain(error)}", file=sys.stderr)
        code = exit_code_of(error)
        return EXIT_BUG if code is None else int(code)


def _train(settings: object) -> int:
    from services._server import telemetry
    from trainer.config import TrainerSettings
    from trainer.worker import Place, train

    assert isinstance(settings, TrainerSettings)
    place = Place(
        rank=int(os.environ["RANK"]),
        ranks=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ["LOCAL_RANK"]),
        ranks_here=int(os.environ["LOCAL_WORLD_SIZE"]),
    )
    try:
        return int(train(settings, place, otlp="OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ))
    finally:
        telemetry.shutdown()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is saved and flushed; tearing down threads of gRPC and torch only takes time.
    os._exit(code)
