"""Tables of the control database: configuration, runs, the delivery ledger, leases, snapshot pointers, alerts,
evaluations, and what the REST API keeps.

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
    sa.Column("revision", sa.Integer, nullable=False, server_default="1", doc="one more with each change: the ETag"),
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
    sa.Column("requested_by", sa.String(100), doc="who asked for a run over the API"),
    sa.Column("launch_claim", sa.String(32), doc="who is handing a queued run to Dagster now"),
    sa.Column("launch_claim_expires_at", Utc),
    sa.Column("deadline_at", Utc, doc="until when a queued run must have begun"),
    sa.Column("configuration", sa.JSON(none_as_null=True), doc="what the run began with; null once it is over"),
)
sa.Index("ix_sync_runs_sync_id", sync_runs.c.sync_id, sync_runs.c.number)
sa.Index("ix_sync_runs_dagster_run_id", sync_runs.c.dagster_run_id)
sa.Index("ix_sync_runs_status", sync_runs.c.status)

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

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True, doc="the part of the key that may be shown"),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("hash", sa.String(200), nullable=False, doc="of the secret part, which is stored nowhere"),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc),
    sa.Column("revoked_at", Utc),
    sa.Column("last_used_at", Utc, doc="to about a minute"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("actor", sa.String(120), nullable=False, doc="such as `api-key:ci`, `cli:alice`, `files`"),
    sa.Column("action", sa.String(30), nullable=False),
    sa.Column("kind", sa.String(20)),
    sa.Column("object_id", sa.String(100)),
    sa.Column("before", sa.JSON(none_as_null=True), doc="secrets masked, as `after`"),
    sa.Column("after", sa.JSON(none_as_null=True)),
)
sa.Index("ix_audit_object", audit.c.kind, audit.c.object_id, audit.c.number)

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("key_id", sa.String(32), primary_key=True),
    sa.Column("idempotency_key", sa.String(255), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False, doc="a hash of method, path and body"),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("status", sa.Integer, doc="null while the first request is being answered"),
    sa.Column("headers", sa.JSON(none_as_null=True)),
    sa.Column("body", sa.Text),
)
sa.Index("ix_kept_answers_created_at", kept_answers.c.created_at)

marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True, doc="`configuration`: its changes are counted; and heartbeats"),
    sa.Column("number", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("at", Utc),
)
