"""How a run begins, and how it ends without delivering: its row in history."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import await_settling, lease_seconds
from zsync_pipelines.store import leases
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
) -> SyncRun:
    """Take the sync's lease and record the run. LeaseHeldError if another run is under way.

    Within one Dagster run the same sync run is returned, however many steps begin it. `timeout_seconds`: how long one
    request to the destination takes at most.
    """
    if dagster_run_id is not None:
        begun = app.runs.by_dagster_run(dagster_run_id, sync_id)
        if begun is not None:
            return begun
    now = app.clock()
    run = SyncRun(
        id=new_run_id(now),
        sync_id=sync_id,
        status=RunStatus.RUNNING,
        trigger=trigger,
        options=options,
        as_of=options.as_of or now,
        created_at=now,
        started_at=now,
        dagster_run_id=dagster_run_id,
    )
    await_settling(app, sync_id)
    with writing(app.database) as connection:
        token = leases.acquire(connection, sync_id, run.id, lease_seconds(timeout_seconds))
        app.runs.insert(connection, run, token)
    return run


def skip_run(
    app: Zsync,
    sync_id: str,
    options: RunOptions,
    reason: ZsyncError,
    dagster_run_id: str | None,
    trigger: Trigger = Trigger.SCHEDULE,
) -> SyncRun:
    """Record that a run that nobody watches met another one under way, or came after a newer one."""
    text = f"run {reason.run_id} was under way" if isinstance(reason, LeaseHeldError) else str(reason)
    return _never_begun(app, sync_id, RunStatus.SKIPPED, options, trigger, text, dagster_run_id)


def fail_to_begin(
    app: Zsync, sync_id: str, options: RunOptions, trigger: Trigger, error: ZsyncError, dagster_run_id: str | None
) -> SyncRun:
    """Record a run that could not begin, such as when its configuration cannot be used: nobody may be watching."""
    return _never_begun(app, sync_id, RunStatus.ERROR, options, trigger, str(error), dagster_run_id)


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
