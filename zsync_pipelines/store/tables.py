"""Tables of the control database: configuration, runs, the delivery ledger, leases, snapshot pointers, alerts
and evaluations.

Times are UTC ISO text with microseconds (`Utc`), so that SQLite and PostgreSQL compare and return them alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class Utc(sa.TypeDecorator[datetime]):
    """An aware datetime, kept as fixed-width ISO text in UTC (sorts as time, exact to the microsecond)."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


objects = sa.Table(
    "objects",
    metadata,
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("managed_by", sa.String(10), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Column("deleted_at", Utc),
)

sync_state = sa.Table(
    "sync_state",
    metadata,
    sa.Column("sync_id", sa.String(63), primary_key=True),
    sa.Column("status_override", sa.String(10), doc="a pause or resume by an operator; wins over the configuration"),
    sa.Column("snapshot_version", sa.Integer, doc="the pointer: which snapshot is the current one"),
    sa.Column("refusals_freed_at", Utc, doc="refusals until then count no more: an operator freed what was parked"),
    sa.Column("fencing_token", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_run_id", sa.String(40)),
    sa.Column("lease_expires_at", Utc),
    sa.Column("lease_holder", sa.String(200), doc="host, process namespace and pid, to tell a dead holder at once"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sync_id", sa.String(63), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(40), nullable=False),
    sa.Column("manifest", sa.JSON, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
)

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), nullable=False, unique=True),
    sa.Column("sync_id", sa.String(63), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("trigger", sa.String(20), nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("as_of", Utc),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("finished_at", Utc),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("fencing_token", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("members", sa.BigInteger),
    sa.Column("snapshot_version", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("dagster_run_id", sa.String(40)),
    sa.Column("plan", sa.JSON(none_as_null=True), doc="where the run's plan files are, once it has any"),
    sa.Column("cancel_requested_at", Utc),
    sa.Column(
        "awaits_verdict", sa.Boolean, nullable=False, server_default=sa.false(), doc="some of its batches are pending"
    ),
    sa.Column("refused_path", sa.Text, doc="the file with the rows that the destination refused in this run"),
)
sa.Index("ix_sync_runs_sync_id", sync_runs.c.sync_id, sync_runs.c.number)
sa.Index("ix_sync_runs_dagster_run_id", sync_runs.c.dagster_run_id)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("part", sa.String(20), nullable=False, doc="of the plan: add, add_again, update, remove_again, remove"),
    sa.Column("start", sa.BigInteger, nullable=False, doc="first row in the part's plan file"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("skipped", sa.JSON(none_as_null=True), doc="offsets of rows in between that it leaves out"),
    sa.Column("idempotency_key", sa.String(64), nullable=False),
    sa.Column("receipt", sa.JSON(none_as_null=True)),
    sa.Column("sent_at", Utc, nullable=False),
    sa.Column("settled_at", Utc),
)

rejections = sa.Table(
    "rejections",
    metadata,
    sa.Column("sync_id", sa.String(63), primary_key=True),
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("entity_key", sa.Text, primary_key=True),
    sa.Column("op", sa.String(10), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("sync_id", sa.String(63), primary_key=True),
    sa.Column("target", sa.String(64), primary_key=True, doc="a hash of the target as written, never its text"),
    sa.Column("state", sa.String(20), doc="what the target was last told; null: nothing yet"),
    sa.Column("run_id", sa.String(40), doc="of which run it was told"),
    sa.Column("at", Utc, nullable=False, doc="when it was told, or the row was made"),
    sa.Column("failure", sa.Text, doc="why the last message did not arrive; null once one did"),
    sa.Column("failed_at", Utc),
    sa.Column("claim", sa.String(32), doc="who is sending to the target now"),
    sa.Column("claim_expires_at", Utc),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), nullable=False, unique=True),
    sa.Column("audience_id", sa.String(63), nullable=False),
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("trigger", sa.String(20), nullable=False),
    sa.Column("sync_id", sa.String(63), doc="the sync whose run made it"),
    sa.Column("fingerprint", sa.String(64), nullable=False, doc="of the definition that was evaluated"),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("finished_at", Utc),
    sa.Column("members", sa.BigInteger, doc="distinct entity keys; stays when the files go"),
    sa.Column("row_count", sa.BigInteger),
    sa.Column("null_keys", sa.BigInteger),
    sa.Column("duplicate_rows", sa.BigInteger),
    sa.Column("conflicting_keys", sa.BigInteger),
    sa.Column("path", sa.Text, doc="the file with the members; null once it is no longer kept"),
    sa.Column("columns", sa.JSON(none_as_null=True)),
    sa.Column("key_name", sa.Text),
    sa.Column("key_type", sa.String(20)),
    sa.Column("error", sa.Text),
    sa.Column("dagster_run_id", sa.String(40)),
    sa.Column("told_at", Utc, doc="when the alerts that it may give rise to were looked after"),
    sa.Column("claim", sa.String(32), doc="who is evaluating; null once it is over"),
    sa.Column("claim_expires_at", Utc),
    sa.Column("claim_holder", sa.String(200), doc="as `sync_state.lease_holder`"),
)
sa.Index("ix_evaluations_audience_id", evaluations.c.audience_id, evaluations.c.number)
sa.Index("ix_evaluations_dagster_run_id", evaluations.c.dagster_run_id)
