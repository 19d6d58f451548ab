"""`python -m services.buffer`: serve the buffer until SIGTERM."""

from services._server import run_service
from services.buffer.application import application
from services.buffer.settings import BufferSettings

if __name__ == "__main__":
    raise SystemExit(run_service("buffer", BufferSettings, application))
