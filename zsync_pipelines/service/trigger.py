"""Runs that are asked for now and begin later: the queue, from the request to what closes it.

A request only writes a row with status `queued`; Dagster is told afterwards (`service.launching`). The Dagster run then
turns that very row into the run (`lifecycle.begin_run`).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import NoDagsterError, NotFoundError, RefusedError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.launching import Launcher
from zsync_pipelines.service.lifecycle import new_run_id
from zsync_pipelines.service.setup import SyncSetup, load_setup
from zsync_pipelines.store import leases, queue
from zsync_pipelines.store.database import writing

_log = logging.getLogger("zsync")


def request_run(app: Zsync, sync_id: str, options: RunOptions, requested_by: str) -> SyncRun:
    """Queue a run. Its id is final; nobody is asked to launch it yet. Works for a paused sync.

    NotFoundError or ConfigError where the sync cannot run, LeaseHeldError, which names the run, where one is running or
    queued. Nothing is connected to.
    """
    return _queue(app, load_setup(app, sync_id), options, requested_by)


def request_cleanup(app: Zsync, sync_id: str, requested_by: str) -> SyncRun:
    """Queue a run that takes out what the sync put at its destination; the sync is deleted when that succeeded.

    As `request_run`; RefusedError where the destination cannot remove members.
    """
    setup = load_setup(app, sync_id)
    if Op.REMOVE not in setup.capabilities.operations:
        raise RefusedError(
            f"destination '{setup.sync.destination_id}' cannot remove members: delete the sync without cleanup, and "
            "its members by hand"
        )
    return _queue(app, setup, RunOptions(remove_members=True, allow_older=True), requested_by)


def _queue(app: Zsync, setup: SyncSetup, options: RunOptions, requested_by: str) -> SyncRun:
    now, sync_id = app.clock(), setup.sync.id
    run = SyncRun(
        id=new_run_id(now),
        sync_id=sync_id,
        status=RunStatus.QUEUED,
        trigger=Trigger.API,
        options=options,
        as_of=options.as_of,
        created_at=now,
        requested_by=requested_by,
        deadline_at=now + timedelta(minutes=app.settings.queue_deadline_minutes),
    )
    with writing(app.database) as connection:
        leases.locked(connection, sync_id)
        _close_overdue(app, connection, sync_id)
        queue.refuse_while_busy(connection, sync_id)
        if not queue.is_stored(connection, sync_id):
            raise NotFoundError(f"sync '{sync_id}' was deleted meanwhile")
        app.runs.insert(connection, run, token=0)
    return run


def cancel_run(app: Zsync, sync_id: str, run_id: str, actor: Actor, launcher: Launcher | None = None) -> SyncRun:
    """Cancel a run: at once while it is queued; one that is running stops after the batch in flight.

    NotFoundError if the sync has no such run, RefusedError if it is over. `launcher` is asked to stop the Dagster run
    of a queued one; without it, or if it fails, that run finds out by itself that it has nothing to do.
    """
    with writing(app.database) as connection:
        leases.locked(connection, sync_id)
        run = app.runs.get(run_id)
        if run is None or run.sync_id != sync_id:
            raise NotFoundError(f"sync '{sync_id}' has no run '{run_id}'")
        was_queued = queue.close(connection, run_id, RunStatus.CANCELLED, "cancelled before it began", app.clock())
        if not was_queued and run.status.is_final:
            raise RefusedError(f"run {run_id} of sync '{sync_id}' is over ({run.status}): there is nothing to cancel")
    if not was_queued:
        app.runs.request_cancel(run_id, app.clock(), actor)
    elif run.dagster_run_id is not None and launcher is not None:
        terminate_quietly(launcher, run.dagster_run_id)
    return app.runs.get(run_id) or run


def close_overdue(app: Zsync) -> list[SyncRun]:
    """Close the queued runs that should have begun by now; returns them."""
    with app.database.connect() as connection:
        if not queue.overdue(connection, app.clock()):
            return []
    with writing(app.database) as connection:
        return _close_overdue(app, connection, None)


def cleanup_of(app: Zsync, sync_id: str) -> str | None:
    """The id of the queued run that will take out what a sync put at its destination, if there is one."""
    with app.database.connect() as connection:
        waiting = queue.queued_of(connection, sync_id)
    return next((run.id for run in waiting if run.options.remove_members), None)


def terminate_quietly(launcher: Launcher, dagster_run_id: str) -> None:
    """Ask a Dagster run to stop that has nothing to do any more; if that fails it finds out by itself."""
    try:
        launcher.terminate(dagster_run_id)
    except NoDagsterError as error:
        _log.info("Dagster run %s was not stopped: %s", dagster_run_id, error)


def _close_overdue(app: Zsync, connection: sa.Connection, sync_id: str | None) -> list[SyncRun]:
    now, closed = app.clock(), []
    for run in queue.overdue(connection, now, sync_id):
        error = f"did not begin within {app.settings.queue_deadline_minutes} minutes: {_why_late(run)}"
        if queue.close(connection, run.id, RunStatus.ERROR, error, now):
            closed.append(replace(run, status=RunStatus.ERROR, error=error, finished_at=now))
    return closed


def _why_late(run: SyncRun) -> str:
    if run.dagster_run_id is None:
        return (
            "no Dagster took it. Start one with `zsync dev` or `dagster dev`, or a webserver and a daemon, and trigger "
            "the sync again"
        )
    return f"Dagster run {run.dagster_run_id} was still waiting there; see its run queue, and trigger the sync again"
