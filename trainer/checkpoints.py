"""Checkpoints on disk: one folder per round, whole or absent.

`<checkpoint_dir>/<round>/` holds what the learner wrote and `state.json`. It is written under
another name and renamed when it is complete and on the disk.
"""

import errno
import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from trainer.group import Group
from zeroloop.errors import ConfigError

DISK_FREE_BYTES_MIN = 16 << 20
"""A failed write with less than this left was for lack of space."""

_BUILDING = ".building-"
_STATE = "state.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a checkpoint must have in common with the trainer that loads it."""

    run: str
    base_model: str
    zero_stage: int
    ranks: int
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far training is."""

    round: int = 0
    """Last round whose batch is in the weights; 0 is the base model."""

    parent: int | None = None
    """The round before it, the version that it was trained from; None for the base model."""

    metrics: dict[str, float] = field(default_factory=dict[str, float])
    """What that round's step reported: its batch may still have to be acknowledged."""


class Saver(Protocol):
    """Writes and restores this rank's part of a checkpoint."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class Checkpoints:
    """The checkpoints of one run. `save` and `load` are collective."""

    def __init__(self, folder: Path, identity: Identity, group: Group, *, keep: int) -> None:
        self._folder = folder
        self._identity = identity
        self._group = group
        self._keep = keep

    def rounds(self) -> list[int]:
        """Rounds with a complete checkpoint, ascending."""
        if not self._folder.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self._folder.iterdir()
            if path.name.isdecimal() and (path / _STATE).is_file()
        )

    def save(self, saver: Saver, progress: Progress) -> None:
        """Write one checkpoint, then forget all but the newest ones.

        Raises:
            OSError: It could not be written, for instance because the disk is full; nothing of
                it is left.
        """
        leader = self._group.rank == 0
        building = self._folder / f"{_BUILDING}{progress.round}"
        if leader:
            self._clear_unfinished()
            building.mkdir(parents=True)
        self._group.barrier()
        try:
            with _disk_errors(building):
                saver.save(building)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        self._group.barrier()
        if leader:
            self._complete(building, progress)
        self._group.barrier()

    def load(self, saver: Saver) -> Progress:
        """Restore the newest checkpoint; without one, start from the base model.

        Raises:
            ConfigError: It was written with other settings.
        """
        rounds = self._group.broadcast(self.rounds() if self._group.rank == 0 else None)
        if not rounds:
            return Progress()
        folder = self._folder / str(rounds[-1])
        state = json.loads((folder / _STATE).read_text("utf-8"))
        self._compare(folder, state["identity"])
        saver.load(folder)
        return Progress(round=state["round"], parent=state["parent"], metrics=state["metrics"])

    def _complete(self, building: Path, progress: Progress) -> None:
        state = {
            "round": progress.round,
            "parent": progress.parent,
            "metrics": progress.metrics,
            "identity": asdict(self._identity),
        }
        (building / _STATE).write_text(json.dumps(state, indent=2), "utf-8")
        _flush(building)
        final = self._folder / str(progress.round)
        shutil.rmtree(final, ignore_errors=True)
        building.rename(final)
        _flush_path(self._folder)
        for stale in self.rounds()[: -self._keep]:
            shutil.rmtree(self._folder / str(stale), ignore_errors=True)

    def _clear_unfinished(self) -> None:
        for path in self._folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _compare(self, folder: Path, found: Mapping[str, object]) -> None:
        wanted = asdict(self._identity)
        differences = [
            f"{name} is {found.get(name)!r} there and {value!r} here"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        if differences:
            raise ConfigError(
                f"checkpoint {folder} belongs to other settings: {'; '.join(differences)}. "
                "Start with the old ones, or name another checkpoint_dir"
            )


@contextmanager
def _disk_errors(folder: Path) -> Generator[None]:
    """torch's writer says `unexpected pos` when the disk is full; say what the system said."""
    try:
        yield
    except RuntimeError as error:
        if not any(name in str(error) for name in ("inline_container", "PytorchStreamWriter")):
            raise
        full = shutil.disk_usage(folder).free < DISK_FREE_BYTES_MIN
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, os.strerror(code), str(folder)) from error


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        _flush_path(path)
    _flush_path(folder)


def _flush_path(path: Path) -> None:
    """Ask the disk to keep it: what was announced must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
