"""Runs on this machine: a folder each, as the controller's local platform keeps them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from zeroloop.core.runs import EventType, Phase, Run, RunEvent, RunSpec, RunStatus
from zeroloop.errors import CorruptDataError, NotFoundError

LATEST = "latest"
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def database(self) -> Path:
        """SQLite file of the buffer."""
        return self.path / "buffer.db"

    @property
    def telemetry(self) -> Path:
        """Spans and metrics, as JSON lines."""
        return self.path / "telemetry"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """The page that tells the run's story."""
        return self.path / "report.html"

    def load(self) -> Run:
        """Return the run as it was last stored.

        Raises:
            NotFoundError: Nothing was stored.
            CorruptDataError: The file is damaged.
        """
        path = self.path / RUN_FILE
        try:
            return _run(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise NotFoundError(f"{self.path} is no run: it has no {RUN_FILE}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataError(f"{path} is damaged: {error}") from error

    def events(self) -> list[RunEvent]:
        """Return what happened, oldest first; a line that a crash cut short is left out."""
        path = self.path / "events.jsonl"
        found: list[RunEvent] = []
        if not path.exists():
            return found
        for line in path.read_text("utf-8").splitlines():
            try:
                found.append(_event(json.loads(line)))
            except (ValueError, KeyError, TypeError):
                continue
        return found


def find_run(text: str, runs_dir: Path) -> RunFolder:
    """Return the folder that `text` means: a path, a name below `runs_dir`, or `latest`.

    Raises:
        NotFoundError: There is none; says which there are.
    """
    for candidate in (runs_dir / text, Path(text)):
        if (candidate / RUN_FILE).is_file():
            return RunFolder(candidate.resolve())
    names = [folder.name for folder in list_runs(runs_dir)]
    there = f"there are {', '.join(names[:8])}" if names else f"{runs_dir} has none yet"
    start = "" if names else "; `zeroloop play` makes one"
    raise NotFoundError(f"no run {text!r}; {there}{start}")


def list_runs(runs_dir: Path) -> list[RunFolder]:
    """Return all runs below a folder, newest first; damaged ones last."""
    found = [
        RunFolder(path.parent)
        for path in runs_dir.glob(f"*/{RUN_FILE}")
        if not path.parent.is_symlink()
    ]
    return sorted(found, key=_created, reverse=True)


def _created(folder: RunFolder) -> str:
    try:
        return folder.load().created_at.isoformat()
    except (NotFoundError, CorruptDataError):
        return ""


def _run(document: Mapping[str, Any]) -> Run:
    status = document["status"]
    known: dict[str, Any] = {k: v for k, v in status.items() if k in _names(RunStatus)}
    known |= {
        "phase": Phase(status["phase"]),
        # Conditions are for those who steer a run; here its phase says enough.
        "conditions": (),
        "started_at": _moment(status.get("started_at")),
        "ended_at": _moment(status.get("ended_at")),
    }
    spec = {k: v for k, v in document["spec"].items() if k in _names(RunSpec)}
    return Run(
        name=document["name"],
        spec=RunSpec(**spec),
        status=RunStatus(**known),
        created_at=datetime.fromisoformat(document["created_at"]),
        effective_settings=document.get("effective_settings", {}),
    )


def _event(document: Mapping[str, Any]) -> RunEvent:
    known: dict[str, Any] = {k: v for k, v in document.items() if k in _names(RunEvent)}
    known |= {"at": datetime.fromisoformat(document["at"]), "type": EventType(document["type"])}
    return RunEvent(**known)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}
