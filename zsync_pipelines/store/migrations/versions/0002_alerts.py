"""What the targets of alerts were told."""

import sqlalchemy as sa
from alembic import op

from zsync_pipelines.store.tables import Utc

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("sync_id", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=True),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("failed_at", Utc(), nullable=True),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("claim_expires_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("sync_id", "target", name=op.f("pk_alerts")),
    )
