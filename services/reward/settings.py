"""Settings of the reward service."""

from pathlib import Path

from pydantic import Field

from services._server import ServiceSettings


class RewardSettings(ServiceSettings):
    """Settings, read from flags and from the environment as ZEROLOOP_REWARD__<FIELD>."""

    execution_target: str = "127.0.0.1:7071"
    """Where the Execution service listens, as `host:port` or `dns:///name:port`."""

    execution_token_file: Path | None = None
    """File with the token that the Execution service wants; unset means `token_file`."""

    execution_calls_max: int = Field(default=4, ge=1, le=64)
    """Calls of the Execution service at once per request, each with up to 64 programs."""

    execution_attempts_max: int = Field(default=3, ge=1, le=20)
    """Calls that one run may take if the platform fails; then it counts as not executed."""

    execution_backoff_s: float = Field(default=0.5, ge=0, le=60)
    """Before the second attempt; doubles with each further one."""
