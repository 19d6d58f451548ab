"""The tables. Moments are seconds since the epoch, UTC; names of enums are stored as text."""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Json(TypeDecorator[Any]):
    """Plain values as JSON text.

    Not the databases' own JSON types: those refuse NaN, which a diverging loss may be, and
    PostgreSQL's text refuses NUL, which a model may write and JSON escapes.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        del dialect
        return None if value is None else json.loads(value)


NOTHING = "[]"
"""An empty list in a column of type Json."""

# SQLite numbers rows by itself only in a column of type INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")

VERSION = "0002"
"""Newest step in `migrations`, which makes these tables."""

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("name", Text, primary_key=True),
    # Position that the next admitted task gets.
    Column("next_sequence", BigInteger, nullable=False),
    # Number that the next change of a round's state gets.
    Column("next_revision", BigInteger, nullable=False),
    Column("created_at_s", Double, nullable=False),
)

rounds = Table(
    "rounds",
    metadata,
    Column("run", Text, ForeignKey("runs.name"), primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("weights_version", BigInteger, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("opened_at_s", Double, nullable=False),
    Column("committed_at_s", Double),
    # The tasks that the commit admitted.
    Column("first_sequence", BigInteger),
    Column("num_tasks", Integer),
    Column("revision", BigInteger, nullable=False),
    Column("pruned", Boolean, nullable=False),
    Index("rounds_by_revision", "run", "revision"),
)

stages = Table(
    "stages",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("round", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("figures", Json, nullable=False),
    Column("stored_at_s", Double, nullable=False),
    ForeignKeyConstraint(["run", "round"], ["rounds.run", "rounds.round"]),
    UniqueConstraint("run", "round", "stage", name="stages_once"),
)


def _record_columns() -> list[Column[Any]]:
    """Which stage a record belongs to, and where in its order it stands."""
    return [
        Column("stage_id", _RowId, ForeignKey("stages.id"), primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
    ]


episodes = Table(
    "episodes",
    metadata,
    *_record_columns(),
    Column("episode_index", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("reference_task_ids", Json, nullable=False),
    Column("composite_task_ids", Json, nullable=False, server_default=NOTHING),
    Column("num_tokens", Integer, nullable=False),
    # Compressed, see codec.py; NULL once pruned.
    Column("prompt_token_ids", LargeBinary),
    Column("token_ids", LargeBinary),
    Column("logprobs", LargeBinary),
    Column("text", LargeBinary),
    Column("finish_reason", Text, nullable=False),
    Column("weights_version", BigInteger, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("outcome", Text),
    Column("accuracy", Double, nullable=False),
    Column("format_ok", Boolean, nullable=False),
    Column("proposal_index", Integer, nullable=False),
    UniqueConstraint("stage_id", "episode_index", name="episodes_once"),
)

verdicts = Table(
    "verdicts",
    metadata,
    *_record_columns(),
    Column("proposal_index", Integer, nullable=False),
    Column("task", Json),
    Column("rejection", Json, nullable=False),
    Column("not_executed", Json, nullable=False),
    Column("format_ok", Boolean, nullable=False),
    Column("detail", Json, nullable=False),
)

estimates = Table(
    "estimates",
    metadata,
    *_record_columns(),
    Column("proposal_index", Integer, nullable=False),
    Column("outcomes", Json, nullable=False),
    Column("accuracies", Json, nullable=False),
)

rewards = Table(
    "rewards",
    metadata,
    *_record_columns(),
    Column("episode_stage", Text, nullable=False),
    Column("episode_index", Integer, nullable=False),
    Column("reward", Double, nullable=False),
    Column("advantage", Double, nullable=False),
    Column("token_weight", Double, nullable=False),
    # An episode that trained twice would count twice.
    UniqueConstraint("stage_id", "episode_stage", "episode_index", name="rewards_once"),
)

# Append-only: a task that leaves its buffer is marked and stays.
tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("run", Text, ForeignKey("runs.name"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("domain", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("program", Text, nullable=False),
    Column("imports", Json, nullable=False),
    Column("cases", Json, nullable=False),
    Column("message", Json, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("thought", LargeBinary, nullable=False),
    Column("round", BigInteger, nullable=False),
    Column("proposed_by_weights", BigInteger, nullable=False),
    Column("reference_task_ids", Json, nullable=False),
    Column("composites", Json, nullable=False, server_default=NOTHING),
    Column("composite_task_ids", Json, nullable=False, server_default=NOTHING),
    Column("validator", Text, nullable=False),
    Column("image_digest", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("admitted_at_s", Double, nullable=False),
    # Of the newest observation.
    Column("success_rate", Double),
    # Round whose commit made it leave its buffer.
    Column("left_round", BigInteger),
    UniqueConstraint("run", "sequence", name="tasks_in_order"),
    Index("tasks_by_kind", "run", "kind", "sequence"),
)

observations = Table(
    "observations",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("task_id", Text, ForeignKey("tasks.task_id"), nullable=False),
    Column("round", BigInteger, nullable=False),
    Column("weights_version", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("success_rate", Double, nullable=False),
    Index("observations_by_task", "task_id"),
)

# Answers of AdmitTasks by the caller's request id.
admissions = Table(
    "admissions",
    metadata,
    Column("run", Text, ForeignKey("runs.name"), primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("first_sequence", BigInteger, nullable=False),
    Column("num_tasks", Integer, nullable=False),
    Column("admitted_at_s", Double, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("run", Text, primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("sequences", Integer, nullable=False),
    Column("response_tokens", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_token", Text),
    Column("lease_owner", Text),
    Column("lease_expires_at_s", Double),
    Column("acknowledged_at_s", Double),
    ForeignKeyConstraint(["run", "round"], ["rounds.run", "rounds.round"]),
    UniqueConstraint("lease_token", name="batches_by_lease"),
)

weights = Table(
    "weights",
    metadata,
    Column("run", Text, ForeignKey("runs.name"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("uri", Text, nullable=False),
    Column("manifest_digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("attributes", Json, nullable=False),
    Column("promoted", Boolean, nullable=False),
    # The bytes are gone; the record of the digest stays.
    Column("removed", Boolean, nullable=False),
    Column("published_at_s", Double, nullable=False),
)
