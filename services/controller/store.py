"""Where runs are kept on one machine: a folder each, written atomically.

runs/<name>/run.json        spec and status, replaced whole
runs/<name>/events.jsonl    what happened, appended
runs/<name>/buffer.db  weights/  checkpoints/  logs/  telemetry/
runs/latest                 link to the newest
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from zeroloop.core.runs import (
    Condition,
    ConditionType,
    EventType,
    Phase,
    Run,
    RunEvent,
    RunSpec,
    RunStatus,
)
from zeroloop.errors import CorruptDataError, NotFoundError, UnavailableError, invalid

NAME_CHARS_MAX = 40
_NAME_DIGITS = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RUN_FILE = "run.json"
_EVENTS_FILE = "events.jsonl"
_LATEST = "latest"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The places of one run."""

    path: Path

    @property
    def database(self) -> Path:
        """SQLite file of the buffer."""
        return self.path / "buffer.db"

    @property
    def weights(self) -> Path:
        """Folder of the versions, each in a folder of its own."""
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        """What the trainer needs to go on."""
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def telemetry(self) -> Path:
        """Spans and metrics as JSON lines."""
        return self.path / "telemetry"

    @property
    def events(self) -> Path:
        """What happened, a JSON object per line."""
        return self.path / _EVENTS_FILE


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is kept: with the request that made it."""

    run: Run
    request_id: str
    traceparent: str = ""
    """W3C trace context of the span that created it."""


class Store(Protocol):
    """Where runs are kept."""

    def folder(self, name: str) -> RunFolder: ...
    def save(self, stored: StoredRun) -> None: ...
    def load(self, name: str) -> StoredRun: ...
    def names(self) -> list[str]: ...
    def append_event(self, name: str, event: RunEvent) -> None: ...
    def events(self, name: str) -> list[RunEvent]: ...

    async def settle(self, name: str) -> None:
        """Return when what was saved would outlive this process."""
        ...


class RunStore:
    """The runs below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> RunFolder:
        """The places of run `name`, whether or not it exists."""
        return RunFolder(self._root / name)

    def save(self, stored: StoredRun) -> None:
        """Write a run, whole or not at all."""
        folder = self._root / stored.run.name
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "request_id": stored.request_id,
            "traceparent": stored.traceparent,
            **_plain(asdict(stored.run)),
        }
        write_atomically(folder / _RUN_FILE, json.dumps(document, indent=2) + "\n")
        if new:
            self._point_latest_at(stored.run.name)

    def load(self, name: str) -> StoredRun:
        """Return a run.

        Raises:
            InvalidRequestError: It is no name of a run.
            NotFoundError: There is no such run.
            CorruptDataError: Its file cannot be read.
        """
        check_name(name)
        path = self._root / name / _RUN_FILE
        try:
            document = json.loads(path.read_text("utf-8"))
            return StoredRun(_run(document), document["request_id"], document["traceparent"])
        except FileNotFoundError:
            raise NotFoundError(f"no run {name!r} in {self._root}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataError(f"{path} is damaged: {error}") from error

    def names(self) -> list[str]:
        """The names of all runs, newest first."""
        found = [path.parent for path in self._root.glob(f"*/{_RUN_FILE}")]
        folders = [path for path in found if not path.is_symlink()]
        runs = [self.load(path.name).run for path in folders]
        runs.sort(key=lambda run: (run.created_at, run.name), reverse=True)
        return [run.name for run in runs]

    async def settle(self, name: str) -> None:
        """See `Store`: `save` has written it already."""

    def append_event(self, name: str, event: RunEvent) -> None:
        """Keep an event for those who look later."""
        line = json.dumps(_plain(asdict(event)))
        with (self._root / name / _EVENTS_FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def events(self, name: str) -> list[RunEvent]:
        """The kept events of a run, oldest first; a line cut short by a crash is left out."""
        path = self._root / name / _EVENTS_FILE
        if not path.exists():
            return []
        return [_event(document) for document in _json_lines(path)]

    def _point_latest_at(self, name: str) -> None:
        draft = self._root / f".{_LATEST}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(name, target_is_directory=True)
        draft.replace(self._root / _LATEST)


def name_of(request_id: str) -> str:
    """The name of a run that was asked for without one: the same whenever it is asked for."""
    digest = hashlib.sha256(request_id.encode()).hexdigest()
    return f"run-{digest[:_NAME_DIGITS]}"


def check_name(name: str) -> None:
    """Raise unless `name` can name a run."""
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name) or name == _LATEST:
        raise invalid(
            "name",
            f"must be lower-case letters, digits and hyphens, at most {NAME_CHARS_MAX} of them, "
            f"and not {_LATEST!r}; got {name!r}",
        )


def write_atomically(path: Path, text: str) -> None:
    """Replace a file whole; a crash or a full disk leaves the old one or the new one.

    Raises:
        UnavailableError: The disk does not take it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise UnavailableError(
            f"cannot write {path}: {error.strerror}; free space or mend the permissions, the run "
            "then goes on"
        ) from error


def _json_lines(path: Path) -> list[Any]:
    documents: list[Any] = []
    for line in path.read_text("utf-8").splitlines():
        try:
            documents.append(json.loads(line))
        except ValueError:
            continue
    return documents


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _run(document: Mapping[str, Any]) -> Run:
    status = document["status"]
    conditions = tuple(
        Condition(
            type=ConditionType(c["type"]),
            status=c["status"],
            reason=c["reason"],
            changed_at=datetime.fromisoformat(c["changed_at"]),
            message=c["message"],
        )
        for c in status["conditions"]
    )
    typed: dict[str, Any] = {
        "phase": Phase(status["phase"]),
        "conditions": conditions,
        "started_at": _moment(status["started_at"]),
        "ended_at": _moment(status["ended_at"]),
    }
    return Run(
        name=document["name"],
        spec=RunSpec(**document["spec"]),
        status=RunStatus(**{**status, **typed}),
        created_at=datetime.fromisoformat(document["created_at"]),
        effective_settings=document["effective_settings"],
    )


def _event(document: Mapping[str, Any]) -> RunEvent:
    typed: dict[str, Any] = {
        "at": datetime.fromisoformat(document["at"]),
        "type": EventType(document["type"]),
    }
    return RunEvent(**{**document, **typed})


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
