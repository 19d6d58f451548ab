"""What tasks build on.

A step of the history: frozen, whatever `services.buffer.schema` becomes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; nothing that is stored builds on anything."""
    for table, column in (
        ("episodes", "composite_task_ids"),
        ("tasks", "composites"),
        ("tasks", "composite_task_ids"),
    ):
        op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default="[]"))
