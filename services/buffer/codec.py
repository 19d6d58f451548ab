"""Records of stages, from values to rows and back.

Tokens, log-probabilities and text are zlib streams of little-endian 32-bit numbers and UTF-8.
"""

import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Table

from services.buffer import schema
from zeroloop.core.rounds import (
    FLOAT32,
    INT32,
    Episode,
    EpisodeReward,
    Estimate,
    Record,
    Stage,
    StoredVerdict,
)
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task

Row: TypeAlias = dict[str, Any]

COMPRESSION = 1
"""zlib's fastest: log-probabilities hardly compress at any level."""

TABLE_OF: Mapping[type[Record], Table] = {
    Episode: schema.episodes,
    StoredVerdict: schema.verdicts,
    Estimate: schema.estimates,
    EpisodeReward: schema.rewards,
}


def pack(numbers: "array[Any]") -> bytes:
    """Compress an array."""
    return zlib.compress(_little_endian(numbers).tobytes(), COMPRESSION)


def unpack(typecode: str, blob: bytes | None) -> "array[Any]":
    """Return the array that `pack` compressed; a pruned one is empty."""
    numbers: array[Any] = array(typecode)
    if blob is not None:
        numbers.frombytes(zlib.decompress(blob))
    return _little_endian(numbers)


def pack_text(text: str) -> bytes:
    """Compress a text."""
    return zlib.compress(text.encode(), COMPRESSION)


def unpack_text(blob: bytes | None) -> str:
    """Return the text that `pack_text` compressed; a pruned one is empty."""
    return "" if blob is None else zlib.decompress(blob).decode()


def _little_endian(numbers: "array[Any]") -> "array[Any]":
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


def size_bytes(record: Record) -> int:
    """About how much memory a record takes."""
    if isinstance(record, Episode):
        tokens = len(record.prompt_token_ids) + 2 * len(record.token_ids)
        return 4 * tokens + len(record.text)
    return 256


def rows_of(
    stage_id: int, first_position: int, records: Sequence[Record]
) -> dict[type[Record], list[Row]]:
    """Return the rows of consecutive records, by the type of the record."""
    rows: dict[type[Record], list[Row]] = {}
    for position, record in enumerate(records, first_position):
        row = {"stage_id": stage_id, "position": position, **_columns(record)}
        rows.setdefault(type(record), []).append(row)
    return rows


def _columns(record: Record) -> Row:
    match record:
        case Episode():
            return _episode_columns(record)
        case StoredVerdict():
            return {
                "proposal_index": record.index,
                "task": None if record.task is None else task_columns(record.task),
                "rejection": record.rejection,
                "not_executed": record.not_executed,
                "format_ok": record.format_ok,
                "detail": record.detail,
            }
        case Estimate():
            return {
                "proposal_index": record.index,
                "outcomes": record.outcomes,
                "accuracies": record.accuracies,
            }
        case EpisodeReward():
            return {
                "episode_stage": record.stage.value,
                "episode_index": record.index,
                "reward": record.reward,
                "advantage": record.advantage,
                "token_weight": record.token_weight,
            }


def _episode_columns(episode: Episode) -> Row:
    return {
        "episode_index": episode.index,
        "kind": episode.kind.value,
        "role": episode.role.value,
        "task_id": episode.task_id,
        "reference_task_ids": episode.reference_task_ids,
        "composite_task_ids": episode.composite_task_ids,
        "num_tokens": len(episode.token_ids),
        "prompt_token_ids": pack(array(INT32, episode.prompt_token_ids)),
        "token_ids": pack(array(INT32, episode.token_ids)),
        "logprobs": pack(array(FLOAT32, episode.logprobs)),
        "text": pack_text(episode.text),
        "finish_reason": episode.finish_reason,
        "weights_version": episode.weights_version,
        "seed": episode.seed,
        "outcome": None if episode.outcome is None else episode.outcome.value,
        "accuracy": episode.accuracy,
        "format_ok": episode.format_ok,
        "proposal_index": episode.proposal_index,
    }


def record_of(kind: type[Record], row: Any) -> Record:
    """Return the record of type `kind` that a row holds."""
    if kind is Episode:
        return _episode_of(row)
    if kind is StoredVerdict:
        return StoredVerdict(
            index=row.proposal_index,
            task=None if row.task is None else task_of(row.task),
            rejection=row.rejection,
            not_executed=row.not_executed,
            format_ok=row.format_ok,
            detail=row.detail,
        )
    if kind is Estimate:
        return Estimate(
            index=row.proposal_index,
            outcomes=tuple(Outcome(outcome) for outcome in row.outcomes),
            accuracies=tuple(row.accuracies),
        )
    return EpisodeReward(
        stage=Stage(row.episode_stage),
        index=row.episode_index,
        reward=row.reward,
        advantage=row.advantage,
        token_weight=row.token_weight,
    )


def _episode_of(row: Any) -> Episode:
    return Episode(
        index=row.episode_index,
        kind=Kind(row.kind),
        role=Role(row.role),
        task_id=row.task_id,
        reference_task_ids=tuple(row.reference_task_ids),
        composite_task_ids=tuple(row.composite_task_ids),
        prompt_token_ids=unpack(INT32, row.prompt_token_ids),
        token_ids=unpack(INT32, row.token_ids),
        logprobs=unpack(FLOAT32, row.logprobs),
        text=unpack_text(row.text),
        finish_reason=row.finish_reason,
        weights_version=row.weights_version,
        seed=row.seed,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        accuracy=row.accuracy,
        format_ok=row.format_ok,
        proposal_index=row.proposal_index,
    )


def task_columns(task: Task) -> Row:
    """Return what a task consists of as plain values, without its identity."""
    return {
        "domain": task.domain,
        "kind": task.kind.value,
        "program": task.program,
        "imports": task.imports,
        "cases": [[case.input, case.output] for case in task.cases],
        "message": task.message,
        "shown": task.shown,
        "thought": task.thought,
        "composites": task.composites,
    }


def task_of(columns: Mapping[str, Any], task_id: str = "") -> Task:
    """Return the task that `task_columns` took apart."""
    return Task(
        domain=columns["domain"],
        kind=Kind(columns["kind"]),
        program=columns["program"],
        imports=tuple(columns["imports"]),
        cases=tuple(Case(*case) for case in columns["cases"]),
        message=columns["message"],
        shown=columns["shown"],
        thought=columns["thought"],
        # Verdicts that were stored before there were any do not speak of them.
        composites=tuple(columns.get("composites", ())),
        task_id=task_id,
    )
