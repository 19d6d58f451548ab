"""How each process is started on one machine."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.controller.options import Settings
from services.controller.platforms.flags import arguments, inference_flags, trainer_flags
from services.controller.platforms.local.process import Command
from services.controller.store import RunFolder
from zeroloop.core.batches import Weights
from zeroloop.core.runs import Run

ROOT = Path(__file__).parents[4]
"""The checkout: services and trainer are run from it."""

DRAIN_S = 1.0
"""On one machine nobody else is served, so calls need no long farewell."""


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Makes the commands of one run."""

    run: Run
    settings: Settings
    folder: RunFolder
    model: str
    """Absolute folder of the base model, or a hub id."""

    token_file: Path
    environment: Mapping[str, str]
    execution: Mapping[str, Any]
    """More settings of the execution service, by name."""

    def buffer(self, port: int) -> Command:
        """The buffer, on the run's own database."""
        flags = {"database_url": f"sqlite:///{self.folder.database}"}
        return self._service("buffer", port, flags)

    def execution_service(self, port: int) -> Command:
        """The sandbox pool."""
        return self._service("execution", port, self.execution)

    def reward(self, port: int, execution: str) -> Command:
        """Prompts and judging."""
        return self._service("reward", port, {"execution_target": execution})

    def inference(self, port: int, weights: Weights | None) -> Command:
        """The engine, on the given version or, without one, on the base model."""
        flags = inference_flags(self.settings, self.model)
        if weights is not None:
            flags |= {
                "weights_uri": weights.uri,
                "weights_version": weights.version,
                "weights_digest": weights.manifest_digest,
            }
        return self._service("inference", port, flags)

    def trainer(self, buffer: str, attempt: int, last_round: int = 0) -> Command:
        """The trainer, which goes on from its newest checkpoint, up to a round if not for ever."""
        flags = {
            **trainer_flags(
                self.run,
                self.settings,
                self.folder,
                model=self.model,
                buffer=buffer,
                token_file=self.token_file,
                last_round=last_round,
            ),
            "ready_file": self.trainer_ready_file,
            "telemetry_dir": self.folder.telemetry,
            "exit_with_parent": True,
        }
        module = "trainer.launch"
        return self._command(f"trainer-{attempt}", module, flags, log="trainer", address=False)

    @property
    def trainer_ready_file(self) -> Path:
        """Appears when the trainer waits for its first batch."""
        return self._address_file("trainer-ready")

    def _service(self, name: str, port: int, flags: Mapping[str, Any]) -> Command:
        common: dict[str, Any] = {
            "port": port,
            "address_file": self._address_file(name),
            "token_file": self.token_file,
            "telemetry_dir": self.folder.telemetry,
            "drain_s": DRAIN_S,
            "exit_with_parent": True,
        }
        return self._command(name, f"services.{name}", {**common, **flags}, log=name, address=True)

    def _command(
        self, name: str, module: str, flags: Mapping[str, Any], *, log: str, address: bool
    ) -> Command:
        return Command(
            name=name,
            arguments=[sys.executable, "-m", module, *arguments(flags)],
            log=self.folder.logs / f"{log}.log",
            address_file=self._address_file(name) if address else None,
            environment={**self.environment, "PYTHONUNBUFFERED": "1"},
            folder=ROOT,
        )

    def _address_file(self, name: str) -> Path:
        return self.folder.path / ".addresses" / name
