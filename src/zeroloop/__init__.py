"""Absolute Zero self-play as a platform: the client library.

    with zeroloop.connect("localhost:7070") as z:
        run = z.runs.create(model="models/seedling", preset="seedling", rounds=30, seed=7)
        for event in run.watch():
            print(event.round, event.stage, f"{event.solver_accuracy:.0%}")

`zeroloop.aio` is the same with `async` and `await`. Importing this package loads nothing but
the errors; gRPC comes with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zeroloop.errors import (
    AlreadyExistsError,
    AuthError,
    ConfigError,
    CorruptDataError,
    FailedPreconditionError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    ZeroloopError,
)
from zeroloop.errors import ZeroloopError as Error

if TYPE_CHECKING:
    from zeroloop import aio
    from zeroloop._results import Execution
    from zeroloop._sync import Client, Run, connect
    from zeroloop.core.batches import Weights
    from zeroloop.core.execution import Limits, Result
    from zeroloop.core.generation import Completion
    from zeroloop.core.rounds import Episode, Round, Stage
    from zeroloop.core.runs import Phase, RunEvent
    from zeroloop.core.stored_tasks import StoredTask
    from zeroloop.core.tasks import Kind, Outcome, Role, RunStatus, Task

__version__ = "0.1.0"

__all__ = [
    "AlreadyExistsError",
    "AuthError",
    "Client",
    "Completion",
    "ConfigError",
    "CorruptDataError",
    "Episode",
    "Error",
    "Execution",
    "FailedPreconditionError",
    "ForbiddenError",
    "InternalError",
    "InvalidRequestError",
    "Kind",
    "Limits",
    "NotFoundError",
    "Outcome",
    "OverloadedError",
    "Phase",
    "Result",
    "Role",
    "Round",
    "Run",
    "RunEvent",
    "RunStatus",
    "Stage",
    "StoredTask",
    "Task",
    "UnavailableError",
    "Weights",
    "ZeroloopError",
    "__version__",
    "aio",
    "connect",
]

_HOME = {
    "Client": "zeroloop._sync",
    "Completion": "zeroloop.core.generation",
    "Episode": "zeroloop.core.rounds",
    "Execution": "zeroloop._results",
    "Kind": "zeroloop.core.tasks",
    "Limits": "zeroloop.core.execution",
    "Outcome": "zeroloop.core.tasks",
    "Phase": "zeroloop.core.runs",
    "Result": "zeroloop.core.execution",
    "Role": "zeroloop.core.tasks",
    "Round": "zeroloop.core.rounds",
    "Run": "zeroloop._sync",
    "RunEvent": "zeroloop.core.runs",
    "RunStatus": "zeroloop.core.tasks",
    "Stage": "zeroloop.core.rounds",
    "StoredTask": "zeroloop.core.stored_tasks",
    "Task": "zeroloop.core.tasks",
    "Weights": "zeroloop.core.batches",
    "connect": "zeroloop._sync",
}
"""Where the names live that are loaded when they are first used."""


def __getattr__(name: str) -> Any:
    if name == "aio":
        return import_module("zeroloop.aio")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
