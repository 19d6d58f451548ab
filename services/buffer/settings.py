"""Settings of the buffer service."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services._server import ServiceSettings


class BufferSettings(ServiceSettings):
    """Settings, read from flags and from the environment as ZEROLOOP_BUFFER__<FIELD>."""

    database_url: SecretStr = SecretStr("sqlite:///buffer.db")
    """`sqlite:///path/to/file` or `postgresql://user:password@host/name`."""

    migrate: bool = True
    """Upgrade an older schema at start. Off, the service refuses to start on one."""

    connections_max: int = Field(default=8, ge=1, le=100)
    """Connections to the database at once; with SQLite one more, which writes."""

    busy_timeout_s: float = Field(default=15.0, ge=0.1, le=300)
    """How long a call waits for a connection, or for another writer. Below the 30 s that
    clients wait, so that they learn the reason."""

    sqlite_synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """FULL survives a power cut, NORMAL only the end of the process; NORMAL saves one flush
    of the disk per commit."""

    recheck_s: float = Field(default=1.0, ge=0.05, le=60)
    """How often a waiting call looks for what other processes have written."""

    spool_dir: Path | None = None
    """Folder for stages that are being received, in temporary files; unset: the system's."""
