"""Settings of the controller service."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services._server import ServiceSettings


class ControllerSettings(ServiceSettings):
    """Settings, read from flags and from the environment as ZEROLOOP_CONTROLLER__<FIELD>."""

    platform: Literal["local"] = "local"
    """Where runs are played; `local`: child processes on this machine."""

    runs_folder: Path = Path("runs")
    """Where each run has a folder."""

    runs_active_max: int = Field(default=1, ge=1, le=16)
    """Runs that are played at once; later ones wait. An engine and an optimiser fill a
    machine."""

    resume: bool = False
    """Go on with the runs that were being played when the controller ended."""

    tick_s: float = Field(default=1.0, ge=0.01, le=60)
    """Pause after a look at the world that failed."""

    execution: dict[str, str] = Field(default_factory=dict)
    """More settings of the execution service that runs start, by name, as JSON, for instance
    `{"workers": "2"}`."""
