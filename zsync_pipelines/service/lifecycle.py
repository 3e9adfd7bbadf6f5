"""How a run begins, of its own or out of the queue, and how it ends without delivering: its row in history."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, NotFoundError, RefusedError, ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import await_settling, lease_seconds
from zsync_pipelines.store import leases, queue
from zsync_pipelines.store.database import writing


def new_run_id(now: datetime) -> str:
    """A run id that is unique and sorts by time, to the millisecond: 20240131T235959123-1a2b3c4d.

    Consumers of the `file` destination apply its folders, which are named by run, in that order.
    """
    moment = now.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(4)}"


def begin_run(
    app: Zsync,
    sync_id: str,
    options: RunOptions,
    trigger: Trigger,
    dagster_run_id: str | None = None,
    timeout_seconds: float = 30.0,
    *,
    configuration: dict[str, Any] | None = None,
    queued: str | None = None,
) -> SyncRun:
    """Take the sync's lease and record the run. LeaseHeldError if another run is under way, NotFoundError if the sync
    was deleted meanwhile.

    Within one Dagster run the same sync run is returned, however many steps begin it. `timeout_seconds`: how long one
    request to the destination takes at most. `configuration`: what the run begins with, for its later steps. `queued`:
    the id of the queued run that this is; RefusedError if that is no longer to be begun, by this Dagster run.
    """
    if dagster_run_id is not None:
        begun = app.runs.by_dagster_run(dagster_run_id, sync_id)
        if begun is not None and begun.status is not RunStatus.QUEUED:
            return begun
    run = running_row(app, sync_id, options, trigger, dagster_run_id, queued)
    await_settling(app, sync_id)
    with writing(app.database) as connection:
        token = leases.acquire(connection, sync_id, run.id, lease_seconds(timeout_seconds))
        if not queue.is_stored(connection, sync_id):
            raise NotFoundError(f"sync '{sync_id}' was deleted before its run began")
        if queued is None:
            app.runs.insert(connection, run, token, configuration=configuration)
        elif not queue.adopt(connection, run, token, configuration):
            raise not_queued(app, queued)
    return run


def running_row(
    app: Zsync, sync_id: str, options: RunOptions, trigger: Trigger, dagster_run_id: str | None, queued: str | None
) -> SyncRun:
    """A run as it begins now; it is stored nowhere yet. `queued`: the id of the queued run that it is."""
    now = app.clock()
    if queued is not None:
        row = queued_row(app, sync_id, queued, dagster_run_id)
        as_of = row.options.as_of or now
    else:
        as_of = options.as_of or now
        row = SyncRun(
            id=new_run_id(now),
            sync_id=sync_id,
            status=RunStatus.RUNNING,
            trigger=trigger,
            options=options,
            as_of=as_of,
            created_at=now,
        )
    return replace(row, status=RunStatus.RUNNING, started_at=now, as_of=as_of, dagster_run_id=dagster_run_id)


def queued_row(app: Zsync, sync_id: str, run_id: str, dagster_run_id: str | None) -> SyncRun:
    """The queued run of that id; RefusedError if it is not queued any more, or is another Dagster run's."""
    row = app.runs.get(run_id)
    if row is None or row.sync_id != sync_id or row.status is not RunStatus.QUEUED:
        raise not_queued(app, run_id)
    if row.dagster_run_id not in (None, dagster_run_id):
        raise not_queued(app, run_id)
    return row


def not_queued(app: Zsync, run_id: str) -> RefusedError:
    """Why a Dagster run that stands for a queued run does nothing."""
    row = app.runs.get(run_id)
    if row is None:
        return RefusedError(f"there is no queued run {run_id}: nothing was done")
    if row.status is RunStatus.QUEUED:
        return RefusedError(f"run {run_id} is that of Dagster run {row.dagster_run_id}: nothing was done")
    by = f" by Dagster run {row.dagster_run_id}" if row.started_at and row.dagster_run_id else ""
    state = "was begun already" if row.started_at else f"is over ({row.status}: {row.error or 'no reason given'})"
    return RefusedError(f"run {run_id} {state}{by}: nothing was done. Trigger the sync again for another run")


def skip_run(
    app: Zsync,
    sync_id: str,
    options: RunOptions,
    reason: ZsyncError,
    dagster_run_id: str | None,
    trigger: Trigger = Trigger.SCHEDULE,
    queued: str | None = None,
) -> SyncRun:
    """Record that a run that nobody watches met another one under way, or came after a newer one."""
    text = f"run {reason.run_id} was under way" if isinstance(reason, LeaseHeldError) else str(reason)
    if queued is not None:
        return close_queued(app, queued, RunStatus.SKIPPED, text, dagster_run_id)
    return _never_begun(app, sync_id, RunStatus.SKIPPED, options, trigger, text, dagster_run_id)


def fail_to_begin(
    app: Zsync,
    sync_id: str,
    options: RunOptions,
    trigger: Trigger,
    error: ZsyncError,
    dagster_run_id: str | None,
    queued: str | None = None,
) -> SyncRun:
    """Record a run that could not begin, such as when its configuration cannot be used: nobody may be watching."""
    if queued is not None:
        return close_queued(app, queued, RunStatus.ERROR, str(error), dagster_run_id)
    return _never_begun(app, sync_id, RunStatus.ERROR, options, trigger, str(error), dagster_run_id)


def close_queued(
    app: Zsync, run_id: str, status: RunStatus, error: str | None, dagster_run_id: str | None = None
) -> SyncRun:
    """End a run that is still queued; RefusedError if it is not."""
    with writing(app.database) as connection:
        closed = queue.close(connection, run_id, status, error, app.clock(), dagster_run_id)
    run = app.runs.get(run_id)
    if run is None or not closed:
        raise not_queued(app, run_id)
    return run


def _never_begun(
    app: Zsync,
    sync_id: str,
    status: RunStatus,
    options: RunOptions,
    trigger: Trigger,
    error: str,
    dagster_run_id: str | None,
) -> SyncRun:
    """A run in history that never held the lease."""
    now = app.clock()
    run = SyncRun(
        id=new_run_id(now),
        sync_id=sync_id,
        status=status,
        trigger=trigger,
        options=options,
        as_of=options.as_of or now,
        created_at=now,
        started_at=now,
        finished_at=now,
        error=error,
        dagster_run_id=dagster_run_id,
    )
    with writing(app.database) as connection:
        app.runs.insert(connection, run, token=0)
    return run


def fail_run(app: Zsync, run: SyncRun, error: str, *, cancelled: bool = False) -> SyncRun:
    """Close a run that delivered nothing, and give its lease back."""
    status = RunStatus.CANCELLED if cancelled else RunStatus.ERROR
    ended = replace(run, status=status, finished_at=app.clock(), error=error)
    with writing(app.database) as connection:
        leases.release(connection, run.sync_id, app.runs.token(run.id))
        app.runs.update(connection, ended)
    return ended
