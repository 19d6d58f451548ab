"""The first schema.

A step of the history: frozen, whatever `services.buffer.schema` becomes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _runs()
    _rounds()
    _stages()
    _episodes()
    _verdicts()
    _estimates()
    _rewards()
    _tasks()
    _observations()
    _admissions()
    _batches()
    _weights()


def _row_id() -> sa.types.TypeEngine[int]:
    # SQLite numbers rows by itself only in a column of type INTEGER.
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_sequence", sa.BigInteger(), nullable=False),
        sa.Column("next_revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _rounds() -> None:
    op.create_table(
        "rounds",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("weights_version", sa.BigInteger(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("opened_at_s", sa.Double(), nullable=False),
        sa.Column("committed_at_s", sa.Double(), nullable=True),
        sa.Column("first_sequence", sa.BigInteger(), nullable=True),
        sa.Column("num_tasks", sa.Integer(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("pruned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.name"]),
        sa.PrimaryKeyConstraint("run", "round"),
    )
    op.create_index("rounds_by_revision", "rounds", ["run", "revision"])


def _stages() -> None:
    op.create_table(
        "stages",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("stored_at_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run", "round"], ["rounds.run", "rounds.round"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "round", "stage", name="stages_once"),
    )


def _episodes() -> None:
    op.create_table(
        "episodes",
        sa.Column("stage_id", _row_id(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("episode_index", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("reference_task_ids", sa.Text(), nullable=False),
        sa.Column("num_tokens", sa.Integer(), nullable=False),
        sa.Column("prompt_token_ids", sa.LargeBinary(), nullable=True),
        sa.Column("token_ids", sa.LargeBinary(), nullable=True),
        sa.Column("logprobs", sa.LargeBinary(), nullable=True),
        sa.Column("text", sa.LargeBinary(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=False),
        sa.Column("weights_version", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("format_ok", sa.Boolean(), nullable=False),
        sa.Column("proposal_index", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"]),
        sa.PrimaryKeyConstraint("stage_id", "position"),
        sa.UniqueConstraint("stage_id", "episode_index", name="episodes_once"),
    )


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("stage_id", _row_id(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("proposal_index", sa.Integer(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("rejection", sa.Text(), nullable=False),
        sa.Column("not_executed", sa.Text(), nullable=False),
        sa.Column("format_ok", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"]),
        sa.PrimaryKeyConstraint("stage_id", "position"),
    )


def _estimates() -> None:
    op.create_table(
        "estimates",
        sa.Column("stage_id", _row_id(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("proposal_index", sa.Integer(), nullable=False),
        sa.Column("outcomes", sa.Text(), nullable=False),
        sa.Column("accuracies", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"]),
        sa.PrimaryKeyConstraint("stage_id", "position"),
    )


def _rewards() -> None:
    op.create_table(
        "rewards",
        sa.Column("stage_id", _row_id(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("episode_stage", sa.Text(), nullable=False),
        sa.Column("episode_index", sa.Integer(), nullable=False),
        sa.Column("reward", sa.Double(), nullable=False),
        sa.Column("advantage", sa.Double(), nullable=False),
        sa.Column("token_weight", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"]),
        sa.PrimaryKeyConstraint("stage_id", "position"),
        sa.UniqueConstraint("stage_id", "episode_stage", "episode_index", name="rewards_once"),
    )


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("imports", sa.Text(), nullable=False),
        sa.Column("cases", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("thought", sa.LargeBinary(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("proposed_by_weights", sa.BigInteger(), nullable=False),
        sa.Column("reference_task_ids", sa.Text(), nullable=False),
        sa.Column("validator", sa.Text(), nullable=False),
        sa.Column("image_digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("admitted_at_s", sa.Double(), nullable=False),
        sa.Column("success_rate", sa.Double(), nullable=True),
        sa.Column("left_round", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.name"]),
        sa.PrimaryKeyConstraint("task_id"),
        sa.UniqueConstraint("run", "sequence", name="tasks_in_order"),
    )
    op.create_index("tasks_by_kind", "tasks", ["run", "kind", "sequence"])


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("weights_version", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("success_rate", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("observations_by_task", "observations", ["task_id"])


def _admissions() -> None:
    op.create_table(
        "admissions",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("num_tasks", sa.Integer(), nullable=False),
        sa.Column("admitted_at_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.name"]),
        sa.PrimaryKeyConstraint("run", "request_id"),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequences", sa.Integer(), nullable=False),
        sa.Column("response_tokens", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at_s", sa.Double(), nullable=True),
        sa.Column("acknowledged_at_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["run", "round"], ["rounds.run", "rounds.round"]),
        sa.PrimaryKeyConstraint("run", "round"),
        sa.UniqueConstraint("lease_token", name="batches_by_lease"),
    )


def _weights() -> None:
    op.create_table(
        "weights",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("manifest_digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("published_at_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.name"]),
        sa.PrimaryKeyConstraint("run", "version"),
    )
