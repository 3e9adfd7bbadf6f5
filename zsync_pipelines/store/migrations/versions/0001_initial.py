"""The first tables."""

import sqlalchemy as sa
from alembic import op

from zsync_pipelines.store.tables import Utc

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(length=20), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=True),
        sa.Column("sent_at", Utc(), nullable=False),
        sa.Column("settled_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_batches")),
    )
    op.create_table(
        "objects",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("managed_by", sa.String(length=10), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.Column("deleted_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_objects")),
    )
    op.create_table(
        "rejections",
        sa.Column("sync_id", sa.String(length=63), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("entity_key", sa.Text(), nullable=False),
        sa.Column("op", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", Utc(), nullable=False),
        sa.Column("last_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "run_id", "entity_key", "op", name=op.f("pk_rejections")),
    )
    op.create_table(
        "snapshots",
        sa.Column("sync_id", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "version", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "sync_runs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("sync_id", sa.String(length=63), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("as_of", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("finished_at", Utc(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_version", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("dagster_run_id", sa.String(length=40), nullable=True),
        sa.Column("plan", sa.JSON(), nullable=True),
        sa.Column("cancel_requested_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_sync_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_sync_runs_id")),
    )
    op.create_index("ix_sync_runs_dagster_run_id", "sync_runs", ["dagster_run_id"], unique=False)
    op.create_index("ix_sync_runs_sync_id", "sync_runs", ["sync_id", "number"], unique=False)
    op.create_table(
        "sync_state",
        sa.Column("sync_id", sa.String(length=63), nullable=False),
        sa.Column("status_override", sa.String(length=10), nullable=True),
        sa.Column("snapshot_version", sa.Integer(), nullable=True),
        sa.Column("fencing_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_run_id", sa.String(length=40), nullable=True),
        sa.Column("lease_expires_at", Utc(), nullable=True),
        sa.Column("lease_holder", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("sync_id", name=op.f("pk_sync_state")),
    )
