"""Queued runs: asked for over the API, and not begun yet. Each function is one step within a writing transaction.

Only a row that is still `queued` changes here (compare-and-set), so that of several processes that want the same row
one gets it. Who hands a row to Dagster claims it first; a claim that ran out may be taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines.errors import LeaseHeldError
from zsync_pipelines.store import leases
from zsync_pipelines.store.runs import run_of
from zsync_pipelines.store.tables import objects, sync_runs

_QUEUED = sync_runs.c.status == RunStatus.QUEUED.value


def queued(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Sequence[SyncRun]:
    """Queued runs, oldest first."""
    query = sa.select(sync_runs).where(_QUEUED, *conditions).order_by(sync_runs.c.number)
    return [run_of(row) for row in connection.execute(query)]


def queued_of(connection: sa.Connection, sync_id: str) -> Sequence[SyncRun]:
    """Queued runs of one sync; one at most, unless a row was put there by hand."""
    return queued(connection, sync_runs.c.sync_id == sync_id)


def overdue(connection: sa.Connection, now: datetime, sync_id: str | None = None) -> Sequence[SyncRun]:
    """Queued runs, of one sync or of all, that should have begun by `now`."""
    of_sync = sa.true() if sync_id is None else sync_runs.c.sync_id == sync_id
    return queued(connection, sync_runs.c.deadline_at < now, of_sync)


def busy_with(connection: sa.Connection, sync_id: str) -> str | None:
    """The id of the run of a sync that is running or queued, if any. The sync stays locked until the transaction ends,
    so that none begins meanwhile."""
    leases.locked(connection, sync_id)
    holder = leases.holder(connection, sync_id)
    if holder is not None:
        under_way = sync_runs.c.status.in_([RunStatus.RUNNING.value, RunStatus.QUEUED.value])
        if connection.execute(sa.select(sync_runs.c.id).where(sync_runs.c.id == holder, under_way)).first():
            return holder
    waiting = queued_of(connection, sync_id)
    return waiting[0].id if waiting else None


def refuse_while_busy(connection: sa.Connection, sync_id: str) -> None:
    """LeaseHeldError, which names the run, if one of the sync is running or queued."""
    run_id = busy_with(connection, sync_id)
    if run_id is not None:
        raise LeaseHeldError(sync_id, run_id)


def is_stored(connection: sa.Connection, sync_id: str) -> bool:
    """Whether the sync is there and not deleted."""
    query = sa.select(objects.c.id).where(
        objects.c.kind == Kind.SYNC.value, objects.c.id == sync_id, objects.c.deleted_at.is_(None)
    )
    return connection.execute(query).first() is not None


def change(connection: sa.Connection, run_id: str, *conditions: sa.ColumnElement[bool], **values: Any) -> bool:
    """Change a row that is still queued; whether it was."""
    where = (sync_runs.c.id == run_id, _QUEUED, *conditions)
    return connection.execute(sa.update(sync_runs).where(*where).values(**values)).rowcount == 1


def adopt(connection: sa.Connection, run: SyncRun, token: int, configuration: dict[str, Any] | None) -> bool:
    """Turn a queued row into the run that begins now; False if it is no longer queued, or is another Dagster run's."""
    ours = sa.or_(sync_runs.c.dagster_run_id.is_(None), sync_runs.c.dagster_run_id == run.dagster_run_id)
    return change(
        connection,
        run.id,
        ours,
        status=RunStatus.RUNNING.value,
        started_at=run.started_at,
        as_of=run.as_of,
        dagster_run_id=run.dagster_run_id,
        fencing_token=token,
        configuration=configuration,
        launch_claim=None,
        launch_claim_expires_at=None,
    )


def close(
    connection: sa.Connection,
    run_id: str,
    status: RunStatus,
    error: str | None,
    now: datetime,
    dagster_run_id: str | None = None,
) -> bool:
    """End a run that has not begun; False if it has. `dagster_run_id`: which Dagster run found that it cannot."""
    found_by = {} if dagster_run_id is None else {"dagster_run_id": dagster_run_id}
    return change(
        connection,
        run_id,
        status=status.value,
        error=error,
        finished_at=now,
        launch_claim=None,
        launch_claim_expires_at=None,
        **found_by,
    )


def waiting_for_launch(connection: sa.Connection, before: datetime | None = None) -> Sequence[SyncRun]:
    """Queued runs that no Dagster run stands for and nobody is launching now; only those from `before` a moment."""
    now = leases.database_now(connection)
    claim = sync_runs.c.launch_claim_expires_at
    old = sa.true() if before is None else sync_runs.c.created_at <= before
    return queued(connection, sync_runs.c.dagster_run_id.is_(None), sa.or_(claim.is_(None), claim < now), old)


def claim(connection: sa.Connection, run_id: str, by: str, seconds: float) -> bool:
    """Take a row for launching; False if somebody else has it, or it needs no launching any more."""
    now = leases.database_now(connection)
    expires = sync_runs.c.launch_claim_expires_at
    return change(
        connection,
        run_id,
        sync_runs.c.dagster_run_id.is_(None),
        sa.or_(expires.is_(None), expires < now),
        launch_claim=by,
        launch_claim_expires_at=now + timedelta(seconds=seconds),
    )


def launched(connection: sa.Connection, run_id: str, dagster_run_id: str) -> bool:
    """Note the Dagster run that stands for a row; False if there is one, or the row is queued no more."""
    return change(
        connection,
        run_id,
        sync_runs.c.dagster_run_id.is_(None),
        dagster_run_id=dagster_run_id,
        launch_claim=None,
        launch_claim_expires_at=None,
    )


def release_claim(connection: sa.Connection, run_id: str, by: str, retry_at: datetime) -> None:
    """Give a claim back whose launch failed; nobody tries before `retry_at`, by the database's clock."""
    change(connection, run_id, sync_runs.c.launch_claim == by, launch_claim_expires_at=retry_at)
