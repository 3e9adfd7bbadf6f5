"""Delivery: verdicts that come later, refusals in files, batches that leave rows out."""

import sqlalchemy as sa
from alembic import op

from zsync_pipelines.store.tables import Utc

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("batches") as table:
        table.add_column(sa.Column("skipped", sa.JSON(), nullable=True))
    with op.batch_alter_table("sync_runs") as table:
        table.add_column(sa.Column("awaits_verdict", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("refused_path", sa.Text(), nullable=True))
    with op.batch_alter_table("sync_state") as table:
        table.add_column(sa.Column("refusals_freed_at", Utc(), nullable=True))
