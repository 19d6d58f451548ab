"""`python -m services.controller`: create, play and steer runs on this machine."""

import os
from contextlib import AbstractAsyncContextManager

import grpc.aio

from services._server import Health, run_service
from services.controller.application import controller
from services.controller.config import ControllerSettings


def application(
    settings: ControllerSettings, server: grpc.aio.Server, health: Health
) -> AbstractAsyncContextManager[None]:
    """The controller with this process's environment, which its children inherit."""
    return controller(settings, server, health, dict(os.environ))


if __name__ == "__main__":
    raise SystemExit(run_service("controller", ControllerSettings, application))
