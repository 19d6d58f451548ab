"""The server kit of every service: settings, authentication, errors, health, telemetry."""

from services._server.health import Health
from services._server.server import run_service
from services._server.settings import ServiceSettings

__all__ = ["Health", "ServiceSettings", "run_service"]
