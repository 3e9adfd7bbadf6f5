"""Evaluations of audiences that are kept, with their claims."""

import sqlalchemy as sa
from alembic import op

from zsync_pipelines.store.tables import Utc

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("audience_id", sa.String(length=63), nullable=False),
        sa.Column("as_of", Utc(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column("sync_id", sa.String(length=63), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("finished_at", Utc(), nullable=True),
        sa.Column("members", sa.BigInteger(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("null_keys", sa.BigInteger(), nullable=True),
        sa.Column("duplicate_rows", sa.BigInteger(), nullable=True),
        sa.Column("conflicting_keys", sa.BigInteger(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("columns", sa.JSON(), nullable=True),
        sa.Column("key_name", sa.Text(), nullable=True),
        sa.Column("key_type", sa.String(length=20), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("dagster_run_id", sa.String(length=40), nullable=True),
        sa.Column("told_at", Utc(), nullable=True),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("claim_expires_at", Utc(), nullable=True),
        sa.Column("claim_holder", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("id", name=op.f("uq_evaluations_id")),
    )
    op.create_index("ix_evaluations_audience_id", "evaluations", ["audience_id", "number"])
    op.create_index("ix_evaluations_dagster_run_id", "evaluations", ["dagster_run_id"])
