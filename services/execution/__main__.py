"""`python -m services.execution`: run programs for others until SIGTERM."""

from services._server import run_service
from services.execution.application import application
from services.execution.settings import ExecutionSettings

if __name__ == "__main__":
    raise SystemExit(run_service("execution", ExecutionSettings, application))
